"""The programs that run model files: one module each, and nothing else imports them."""
