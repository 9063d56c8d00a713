"""Upgrades and follow-ups: asked for before anybody is told, once, and not said when refused."""

import json

from configs.policy_schema import Policies
from pipeline.remedies import RemedyRequest
from sinks.base import Refused, RefusedReason, Unknown, UnknownReason
from sinks.memory import MemorySink
from tests.pipeline.issuing import request
from tests.pipeline.test_money import world_of
from tests.pipeline.test_policy import changed
from tests.real_parts import RedisServer

BOTH = {
    "template": "apology", "upgrade": "express", "follow_up": "dedicated_agent",
    "follow_up_hours": 4,
}  # fmt: skip


def wanted() -> tuple[RemedyRequest, Policies]:
    rule = {"name": "both", "when": {"kind": "stall.opened"}, "remedy": BOTH}
    policies = changed(policies=[rule])
    return request(policies, 1), policies


def test_actions_are_asked_for_and_then_the_customer_is_told(
    redis_server: RedisServer, name: str
) -> None:
    """One message each with its key and its due time; a lost answer is asked for again."""
    wish, policies = wanted()
    actions = MemorySink([(Unknown(UnknownReason.TIMED_OUT, "lost"), True)])
    notices = MemorySink()
    with world_of(redis_server.url, name, policies, notices=notices, actions=actions) as (w, run):
        run(w.issuers[0].work([wish]))
        assert not notices.messages, "nothing is said before it is true"
        w.pass_time(5)
        w.issuers[0] = w.owner(0)
        run(w.issuers[0].work([]))
        assert len(notices.messages) == 1
    assert sorted(actions.messages) == [f"{wish.remedy_id}.{what}" for what in
                                        ("follow_up", "upgrade")]  # fmt: skip
    upgrade, follow_up = (
        json.loads(actions.messages[f"{wish.remedy_id}.{what}"].body)
        for what in ("upgrade", "follow_up")
    )
    assert (upgrade["action"], upgrade["parcel_id"]) == ("express", "P1")
    assert follow_up["action"] == "dedicated_agent"
    assert follow_up["due_at"] == "2026-03-02T16:00:00Z"
    (notice,) = notices.messages.values()
    assert "express" in json.loads(notice.body)["texts"]["en"]["body"]


def test_what_is_refused_is_not_said(redis_server: RedisServer, name: str) -> None:
    """The customer reads of the agent and not of the upgrade that nobody makes."""
    wish, policies = wanted()
    actions = MemorySink([Refused(RefusedReason.REJECTED, "not on this lane")])
    notices = MemorySink()
    with world_of(redis_server.url, name, policies, notices=notices, actions=actions) as (w, run):
        run(w.issuers[0].work([wish]))
    (notice,) = notices.messages.values()
    body = json.loads(notice.body)
    assert (body["upgrade"], body["follow_up"]) == ("none", "dedicated_agent")
    assert "express" not in body["texts"]["en"]["body"]
    assert "One agent" in body["texts"]["en"]["body"]
