"""C programs on emulated cores: what they compute, and what of a core they take."""

from firmware_sim.emulate.cores import CORES, Core, core_of
from firmware_sim.emulate.emulator import Call, Emulated, Source, emulate

__all__ = ["CORES", "Call", "Core", "Emulated", "Source", "core_of", "emulate"]
