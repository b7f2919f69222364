"""The plots: each is a grammar, and each has its file."""

from llm_explainer.data.stories.plots.common import Plot
from llm_explainer.data.stories.plots.helping import HELPING
from llm_explainer.data.stories.plots.learning import LEARNING
from llm_explainer.data.stories.plots.lost import LOST
from llm_explainer.data.stories.plots.mended import MENDED
from llm_explainer.data.stories.plots.night import NIGHT
from llm_explainer.data.stories.plots.quarrel import QUARREL
from llm_explainer.data.stories.plots.seed import SEED
from llm_explainer.data.stories.plots.sharing import SHARING
from llm_explainer.data.stories.plots.storm import STORM
from llm_explainer.data.stories.plots.surprise import SURPRISE
from llm_explainer.data.stories.plots.wish import WISH

__all__ = ["PLOTS", "Plot"]

PLOTS = (
    LOST,
    WISH,
    STORM,
    QUARREL,
    MENDED,
    SHARING,
    LEARNING,
    HELPING,
    SURPRISE,
    NIGHT,
    SEED,
)
