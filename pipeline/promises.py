"""What a remedy promises besides money is asked for first; the customer is told what was accepted.

Upgrades and follow-ups go out as signed webhooks, each under its own key. A receiver that has them
already answers as before, so asking again, after a crash or because the customer could not be
told, has no second effect.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from configs.remedy_schema import FollowUp, Upgrade
from pipeline.ledger import Account
from pipeline.messages import action_messages, notice_body
from pipeline.outlet import Outlet
from pipeline.remedies import RemedyRequest
from pipeline.wording import Wording
from sinks.base import Message, Outcome, Refused, Unknown

_NOT: Final = {"upgrade": Upgrade.NONE, "follow_up": FollowUp.NONE}


class Promises:
    """Has promises kept, and writes what can then be said.

    Parameters
    ----------
    actions
        Where upgrades and follow-ups are asked for.
    wording
        What customers read.
    """

    def __init__(self, actions: Outlet, wording: Wording) -> None:
        self.outlet, self._wording = actions, wording

    def notice(self, request: RemedyRequest, reference: str | None, at: datetime) -> str:
        """Return the body of the notice, to be frozen in the ledger."""
        return notice_body(request, reference, self._wording.write(request), at)

    async def kept(self, account: Account) -> str | Unknown:
        """Ask for what was promised; return the notice to send, or why it is not known yet.

        What the receiver refuses is not said: the notice is written anew without it.
        """
        request = account.request
        messages = action_messages(request)
        outcomes = await self._asked(list(messages.values()))
        answers = dict(zip(messages, outcomes, strict=True))
        for outcome in outcomes:
            if isinstance(outcome, Unknown):
                return outcome
        refused = {name for name, outcome in answers.items() if isinstance(outcome, Refused)}
        if account.notice is not None and not refused:
            return account.notice
        told = msgspec.structs.replace(request, **{name: _NOT[name] for name in refused})
        return self.notice(told, account.reference, request.decided_at)

    async def _asked(self, messages: Sequence[Message]) -> list[Outcome]:
        if len(messages) == 1:  # as most remedies have it, and a task costs as much as a signature
            return [await self.outlet.deliver(messages[0])]
        return await asyncio.gather(*map(self.outlet.deliver, messages))
