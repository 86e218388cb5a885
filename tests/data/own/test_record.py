"""Own data: what a prepared set keeps of where it came from."""

import re
from pathlib import Path

from vitret.data import own
from vitret.data.layout.read import OWN_KINDS


def test_every_kind_of_own_data_is_known_as_own_when_it_is_read_back():
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(own.__path__[0]).glob("*.py"))
    assert sorted(set(re.findall(r'source=\{"kind": "(\w+)"', sources))) == sorted(OWN_KINDS)
