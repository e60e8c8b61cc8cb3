"""What people who open the page may do."""

from enum import Enum

from models.errors import UserError


class Access(Enum):
    """OWNER: everything. VISITOR: look, filter, and explain one photo at a time. READER: look and filter what
    the run holds."""

    OWNER = "owner"
    VISITOR = "visitor"
    READER = "reader"

    @property
    def explains(self) -> bool:
        """Whether the network may be asked."""
        return self is not Access.READER

    @property
    def computes(self) -> bool:
        """Whether work of minutes may be started, and files be written: trainings, surveys, maximized
        pictures, notes, exports."""
        return self is Access.OWNER

    def require_model(self) -> None:
        """Raises UserError where this may not be."""
        if not self.explains:
            raise UserError(
                "This page is for reading: it shows what the run holds; live maps need a server without "
                "--read-only."
            )

    def require_compute(self) -> None:
        """Raises UserError where this may not be."""
        if not self.computes:
            raise UserError(
                "Visitors can look, filter, and explain a photo; whoever started the page can allow more "
                "with --allow-compute."
            )
