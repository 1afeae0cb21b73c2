"""GLUE (Wang et al. 2019, arXiv 1804.07461). https://huggingface.co/datasets/nyu-mll/glue

sst2: {"sentence": "it 's a charming and often affecting journey . ", "label": 1, "idx": 0}

The test labels are hidden, so the publisher's validation rows are our test rows.
"""

from collections.abc import Mapping

from tasks.base import TaskRow
from tasks.published import Source, loader

HUB = "nyu-mll/glue"
REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"

TASKS: Mapping[str, TaskRow] = {
    "glue/sst2": TaskRow(
        category="sentiment",
        template="{sentence}",
        metric="accuracy",
        load=loader(Source(HUB, "sst2", REVISION, texts=("sentence",))),
        label_words=("negative", "positive"),
        chance=0.5,
        max_input_tokens=64,
        source=f"{HUB} sst2 @ {REVISION[:12]}",
        notes={"schema": "verified on rows: sentence, label (0 negative, 1 positive), idx"},
    ),
}
