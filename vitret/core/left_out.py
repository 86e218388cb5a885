"""What a recipe records of training images that are left out: see `exclusion.py` for the files that name them."""

from pydantic import Field

from vitret.core.config import Strict


class Exclusion(Strict):
    """Training images that nothing learns from; the run's folder lists them."""

    images: int = Field(gt=0, description="how many names were given")
    digest: str = Field(description="of the sorted names")

    @property
    def words(self) -> str:
        return f"without {self.images:,} image{'s' if self.images > 1 else ''} (list {self.digest[:8]})"
