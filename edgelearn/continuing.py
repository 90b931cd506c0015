"""Going on with a model that stands on the plateau of an infinite learning-rate schedule.

New samples come, or it is time to settle: the same model learns for more epochs, at the rate of the
plateau or annealed, without a second warm-up. One does well to keep the file of the plateau beside
the annealed one: a stream goes on from there.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from edgelearn.datasets import Dataset
from edgelearn.errors import OptionError
from edgelearn.modelfile import Model
from edgelearn.progress import Progress, Standing
from edgelearn.rates import Infinite, schedule
from edgelearn.stages import span


def go_on(model: Model, dataset: Dataset, more: int, anneal: int) -> Model:
    """`model`, ready for `more` epochs on the plateau and `anneal` epochs of annealing after them.

    Raises
    ------
    OptionError
        If it is not trained to the end, its schedule is not infinite.
    """
    config = model.recipe.train
    course = _plateau(model)
    anneal_steps = anneal * span(config, len(dataset.x_train)).epoch_steps
    train = msgspec.structs.replace(
        config, epochs=config.epochs + more + anneal, lr_schedule=course.resumed(anneal_steps)
    )
    recipe = msgspec.structs.replace(model.recipe, train=train)
    return replace(model, recipe=recipe, standing=Standing(Progress(epoch=config.epochs)))


def _plateau(model: Model) -> Infinite:
    """The schedule of `model`, if there is a plateau that it can go on from."""
    config = model.recipe.train
    course = schedule(config.lr_schedule)
    got = ""
    if model.standing is not None:
        got = "a checkpoint of an interrupted run: finish it with --resume"
    elif not isinstance(course, Infinite):
        got = "another learning-rate schedule, which has run out"
    if got or not isinstance(course, Infinite):
        raise OptionError(
            f"model {model.recipe.name!r}",
            expected="lr_schedule = 'infinite' and schedule = 'simultaneous', trained to the end",
            got=got,
            fix="train it so from the beginning; then it can go on at any time",
        )
    return course
