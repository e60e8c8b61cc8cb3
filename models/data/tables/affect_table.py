"""A table with image paths and two numbers per image: valence and arousal in [-1, 1]."""

import pandas as pd
import torch
from torch import Tensor

from models.counts import counted
from models.data.files import FileSource
from models.data.remote.location import Location
from models.data.source import Item, joined
from models.data.tables.files import read_table
from models.data.tables.paths import locate
from models.data.tables.table import IMAGE_COLUMNS, find_column, rows_of
from models.errors import UserError


class AffectTable(FileSource):
    """`values` (n, 2) float32. Rows without both numbers, or with one outside [-1, 1] (AffectNet writes -2
    for "uncertain"), are left out, and `note` counts them."""

    def __init__(self, path: Location, image_col: str | None = None, split: str | None = None):
        table = read_table(path)
        table = rows_of(table, split, path) if split else table
        image = find_column(table, image_col, IMAGE_COLUMNS, "--image-col", path)
        axes = [
            find_column(table, None, (name,), f"a column called {name}", path)
            for name in ("valence", "arousal")
        ]
        numbers = table[axes].apply(pd.to_numeric, errors="coerce")
        good = numbers.notna().all(axis=1) & (numbers.abs() <= 1).all(axis=1) & table[image].notna()
        if not good.any():
            raise UserError(f"'{path}' has no row with valence and arousal in -1 to 1.")
        located = locate(path, table.loc[good, image].astype(str).tolist())
        self.base, self.classes = located.base, ("",)
        self.root, self.name = str(self.base), f"{path.stem}/{split}" if split else path.stem
        left_out = (
            f"valence and arousal; {counted(len(table) - int(good.sum()), 'row')} without both in -1 to 1 "
            "left out"
            if not good.all()
            else ""
        )
        self.note = joined(left_out, located.note)
        self.items = [Item(name, "") for name in located.names]
        self.values: Tensor = torch.tensor(numbers[good].to_numpy(dtype="float32"))
