"""Stand-ins for the workers of a film in chunks."""

from __future__ import annotations


class Named:
    """A worker that is only a name."""

    def __init__(self, name: str, elsewhere: bool = False) -> None:
        self.name = name
        self.elsewhere = elsewhere

    def order(self, command: object) -> None: ...

    def signal(self, name: str) -> None: ...

    def end(self) -> None: ...
