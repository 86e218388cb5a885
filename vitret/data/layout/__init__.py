"""The one layout of a prepared set on disk, written once and read by everything that comes later.

```
$VITRET_DATA/<set>/
  card.json          what is known about the set
  images/…           links to the originals, or the files themselves
  files.parquet      path, sha256 (32 bytes), size in bytes, width, height, orientation; sorted by path
  train.parquet      path, label int64 0…C−1, validation bool [, x0, y0, x1, y1]
  pairs.parquet      query, positive: rows of train.parquet
  database.parquet   path [, label] [, x0, y0, x1, y1] [, sequence]; alone it is a set of distractors
  queries.parquet    path [, x0, y0, x1, y1] [, label] [, database_row: −1 where the query is no database image]
                     [, sequence: −1 for none] [, group: as the user's own table says, −1 for none]
  truth.json         {"kind": "labels" [, "junk": {"query": [rows], …}]} or
                     {"kind": "judgements", "queries": [{"easy": […], "hard": […], …}, …]}
  labels.json        {"train": […], "evaluation": […]}: the original label of each number
  manifest.json      counts, failed images, the digests by which the set's bytes are known, the sha256 of each file here
```

Paths are relative to images/. Boxes are pixels of the stored image, before any turn by EXIF; NaN (null) is the whole
image. A box makes an image of its own: two boxes in one file are two images. With truth "labels" a query's positives
are the database images of its label; its own image, where it is in the database, the images of its own sequence and
the rows in "junk" are junk. `.<set>.stamps.npy` beside the set is of this machine alone.
A digest covers the table and the sha256 of every image it names, not times, places or the library that wrote the file.
"""

from vitret.data.layout.changed_images import require_unchanged
from vitret.data.layout.parts import Side
from vitret.data.layout.read import (
    list_sets,
    load_eval,
    load_images,
    load_manifest,
    load_sizes,
    load_train,
    notes_of,
    subset_of,
    train_facts,
)
from vitret.data.layout.write import AlreadyThereError, LayoutWriter, exists

__all__ = [
    "AlreadyThereError",
    "LayoutWriter",
    "Side",
    "exists",
    "list_sets",
    "load_eval",
    "load_images",
    "load_manifest",
    "load_sizes",
    "load_train",
    "notes_of",
    "require_unchanged",
    "subset_of",
    "train_facts",
]
