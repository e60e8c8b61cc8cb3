"""Permissions of the people who open the page."""

from enum import Enum

from models.errors import UserError


class Access(Enum):
    """OWNER: everything. VISITOR: view, filter, and explain one photo at a time. READER: view and filter what
    the run holds."""

    OWNER = "owner"
    VISITOR = "visitor"
    READER = "reader"

    @property
    def explains(self) -> bool:
        """Whether the model may be used."""
        return self is not Access.READER

    @property
    def computes(self) -> bool:
        """Whether work of minutes may be started and files may be written: trainings, surveys, feature
        visualizations, notes, exports."""
        return self is Access.OWNER

    def require_model(self) -> None:
        """Raises UserError where the model may not be used."""
        if not self.explains:
            raise UserError(
                "This page is for reading: it shows what the run holds; live maps need a server without "
                "--read-only."
            )

    def require_compute(self) -> None:
        """Raises UserError where work may not be started."""
        if not self.computes:
            raise UserError(
                "Visitors can look, filter, and explain a photo; whoever started the page can allow more "
                "with --allow-compute."
            )
