"""What the files of the answer are called, in the folder of the documents."""

from typing import Final

__all__ = ["COST_PICTURE", "FIGURES", "PAGE", "UNITS_PAGE", "WORTH_PICTURE"]

PAGE: Final = "cost-of-ue5m3.md"
UNITS_PAGE: Final = "cost-of-ue5m3-units.md"
FIGURES: Final = "cost-of-ue5m3.csv"
COST_PICTURE: Final = "cost-of-ue5m3.svg"
WORTH_PICTURE: Final = "worth-of-ue5m3.svg"
