"""Has nodes show that they compute the reproducible operators, before they are given any work.

A challenge is drawn at every start of the coordinator. From it follow inputs for every scalar
program and the kernels built of them; the answer is a digest over all outputs, bound to the
account, so that neither an old answer nor somebody else's will do. The coordinator computes the
answer itself. That a node answered does not mean that it computes so later: replays show that.
"""

from __future__ import annotations

import secrets
from functools import cached_property

from gensyn_lightning.errors import Unauthenticated
from gensyn_lightning.protocol.digest import ZERO, Address, Digest
from gensyn_lightning.repops import VERSION, selftest
from gensyn_lightning.wire.nodes import RegisterRequest


class Examination:
    """One challenge and what the right answer to it is."""

    def __init__(self) -> None:
        self.challenge = Digest(secrets.token_bytes(32))

    def check(self, request: RegisterRequest, account: Address) -> None:
        """Raise `Unauthenticated` where a node names an arithmetic that it does not compute."""
        if VERSION in request.numerics:
            right = request.self_test == selftest.bound(self._outputs, account)
        else:
            right = request.self_test == ZERO
        if not right:
            raise Unauthenticated(
                f"the node does not compute {VERSION}",
                hint="compare versions and run `gensyn doctor` there; build the kernels again",
            )

    @cached_property
    def _outputs(self) -> Digest:
        return selftest.outputs(self.challenge)
