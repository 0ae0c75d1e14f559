"""The demo: one organization with three assistants, and a history of changes by several people."""

from __future__ import annotations

import asyncio
import shlex
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from app.accounts import api_keys, organizations, principals
from app.accounts.principals import Role
from app.assistants import changes
from app.assistants.requests import ChangeRequest
from app.services import open_services, utc_now
from app.transactions.caller import Caller, system
from events.bodies.patch import read_create, read_patch
from events.changed import Cause

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.assistants.requests import Outcome
    from app.config import Config
    from app.transactions.unit_of_work import UnitOfWork
    from events.bodies.patch import SettingsPatch

ORGANIZATION = "Northwind Dental"
_PEOPLE = {
    "Ada Okafor": ("ada@northwind.example", Role.admin),
    "Ben Ruiz": ("ben@northwind.example", Role.editor),
    "Chiara Conti": ("chiara@northwind.example", Role.editor),
    "release-bot": (None, Role.editor),
}
_DAYS = 60

_PROMPT = (
    "You are the receptionist of Northwind Dental. Greet the caller, find out what they need, "
    "and book, move or cancel appointments. Never give medical advice."
)
_AFTER_HOURS = (
    "You answer Northwind Dental's line when the practice is closed. Take a message with name, "
    "number and reason. For pain, swelling or bleeding, transfer to the dentist on call."
)
_RECALL = (
    "You call patients of Northwind Dental whose check-up is due. Offer two times, book the one "
    "they choose, and end the call politely if they are not interested."
)

Change = tuple[str, dict[str, Any], str]

_CREATED: dict[str, tuple[str, dict[str, Any]]] = {
    "Front desk": (
        "Ada Okafor",
        {
            "description": "Answers the main line during opening hours",
            "llm_settings": {
                "system_prompt": _PROMPT,
                "welcome_message": "Northwind Dental, hello!",
            },
            "tts_settings": {"provider": "elevenlabs", "voice_id": "rachel"},
        },
    ),
    "After hours": (
        "Ben Ruiz",
        {
            "description": "Takes messages when the practice is closed",
            "llm_settings": {"system_prompt": _AFTER_HOURS, "temperature": 0.3},
            "tools_settings": {"end_call": {"enabled": True}},
        },
    ),
    "Recall": (
        "Chiara Conti",
        {
            "description": "Calls patients whose check-up is due",
            "llm_settings": {"system_prompt": _RECALL},
            "max_call_length": 300,
        },
    ),
}

_CHANGES: dict[str, list[Change]] = {
    "Front desk": [
        ("Ben Ruiz", {"llm_settings": {"temperature": 0.3}}, "Answers wandered off"),
        ("Chiara Conti", {"tts_settings": {"speed": 0.95}}, "Older callers asked for a slower voice"),
        ("Ada Okafor", {"llm_provider_config": {"model": "gpt-4o"}}, "Better at moving appointments"),
        ("Ben Ruiz", {"stt_settings": {"model": "nova-3", "keyterms": ["Northwind", "Invisalign"]}}, "Names of treatments were misheard"),
        ("Ada Okafor", {"tools_settings": {"transfer_call": {"enabled": True, "transfer_numbers": ["+14155550123"]}}}, "Transfer to the desk"),
        ("Chiara Conti", {"llm_settings": {"welcome_message": "Northwind Dental, how can I help?"}}, "Friendlier greeting"),
        ("release-bot", {"interruption_settings": {"interruption_threshold": 2}}, "Rollout 41: quicker barge-in"),
        ("Ben Ruiz", {"interruption_settings": {"interruption_threshold": 4}}, "Rollout 41 cut callers off"),
        ("Ada Okafor", {"recording_settings": {"disclosure_enabled": True, "disclosure_message": "This call is recorded."}}, "Required by counsel"),
        ("Chiara Conti", {"llm_settings": {"system_prompt": _PROMPT + " Offer the next free time first."}}, "Fewer callbacks"),
        ("Ben Ruiz", {"idle_timeout": 20, "max_idle_messages": 2}, "Silent lines stayed open"),
    ],
    "After hours": [
        ("Ada Okafor", {"tools_settings": {"transfer_call": {"enabled": True, "transfer_numbers": ["+14155550199"]}}}, "Dentist on call"),
        ("Chiara Conti", {"tts_settings": {"voice_id": "domi"}}, "Calmer voice at night"),
        ("Ben Ruiz", {"llm_settings": {"max_tokens": 400}}, "Shorter answers"),
        ("release-bot", {"stt_settings": {"utterance_end_ms": 1200}}, "Rollout 38: patience"),
        ("Ada Okafor", {"bypass_numbers": ["+14155550111", "+14155550112"]}, "Labs reach the dentist directly"),
        ("Ben Ruiz", {"llm_settings": {"temperature": 0.2}}, "No improvising at night"),
        ("Chiara Conti", {"end_call_message": "We will call you back in the morning. Good night."}, "Say what happens next"),
        ("Ada Okafor", {"recording_settings": {"disclosure_enabled": True}}, "Required by counsel"),
        ("Ben Ruiz", {"tools_settings": {"transfer_call": {"transfer_type": "warm", "agent_confirmation": True}}}, "The dentist wants to know who calls"),
        ("Chiara Conti", {"backchannel_settings": {"enabled": True, "frequency": 2}}, "People in pain want to be heard"),
    ],
    "Recall": [
        ("Ben Ruiz", {"llm_settings": {"temperature": 0.6}}, "Less like a script"),
        ("Ada Okafor", {"max_call_length": 240}, "Budget"),
        ("Chiara Conti", {"tts_settings": {"provider": "cartesia", "voice_id": "sonic-amy"}}, "Trial of another voice"),
        ("release-bot", {"interruption_settings": {"min_speaking_time": 0.4}}, "Rollout 40"),
        ("Ben Ruiz", {"tts_settings": {"provider": "elevenlabs", "voice_id": "bella"}}, "The trial sounded rushed"),
        ("Ada Okafor", {"tools_settings": {"send_sms": {"enabled": True, "default_message": "See you at Northwind Dental!"}}}, "Confirm by text"),
        ("Chiara Conti", {"stt_settings": {"language": "en-GB"}}, "Wrong accent model"),
        ("Ben Ruiz", {"stt_settings": {"language": "en-US"}}, "It was right before"),
        ("Ada Okafor", {"is_active": False}, "Holiday pause"),
        ("Ada Okafor", {"is_active": True}, "Back from holidays"),
        ("Chiara Conti", {"custom_settings": {"campaign": "spring-recall", "daily_limit": 80}}, "Spring campaign"),
    ],
}  # fmt: skip


def seed(config: Config, clock: Callable[[], datetime] = utc_now) -> str:
    """Fill an empty database with a past up to now; returns Ada's key, which is an admin's."""
    return asyncio.run(_seed(config, clock()))


def introduction(url: str, token: str, code: str) -> str:
    """What the demo prints: its URL, its key, and three commands that work when pasted.

    ``code`` signs in to the console once.
    """
    auth = f"-H {shlex.quote(f'Authorization: Bearer {token}')}"
    body = shlex.quote(
        '{"llm_settings": {"temperature": 0.7}, "change_description": "Trying the demo"}'
    )
    return "\n".join(
        (
            f"Backstory serves {ORGANIZATION} at {url}",
            f"Open the console, once, within ten minutes: {url}/sign-in/once?code={code}",
            f"API key (admin): {token}",
            "",
            "Read an assistant:",
            f"  curl -s {auth} {url}/api/v1/assistants/1",
            "Change one setting, and say why:",
            f"  curl -s -X PATCH {auth} -H 'Content-Type: application/json' -d {body} {url}/api/v1/assistants/1",
            "See who changed what:",
            f"  curl -s {auth} '{url}/api/v1/assistants/1/settings-history?limit=3'",
            "",
            f"The API as a page: {url}/schema",
        )
    )


async def _seed(config: Config, now: datetime) -> str:
    clock = _Clock(now)
    async with open_services(config, clock, "backstory demo") as services:
        callers, token = await services.writer.write(None, _people)
        ids = {}
        used: list[tuple[Caller, datetime]] = []
        for name, (person, settings) in _CREATED.items():
            patch = read_create(settings | {"name": name})
            caller = callers[person]
            work = partial(_create, caller, patch)
            created = await services.writer.write(caller.organization_id, work)
            ids[name] = created.id
            used.append((caller, clock.latest))
        for name, (person, settings, reason) in _interleaved():
            patch = read_patch(settings | {"change_description": reason})
            request = ChangeRequest(caller=callers[person], assistant_id=ids[name])
            work = partial(_change, request, patch)
            await services.writer.write(request.caller.organization_id, work)
            used.append((request.caller, clock.latest))
        await services.writer.write(None, partial(_use, used))
    return token


def _use(used: list[tuple[Caller, datetime]], unit: UnitOfWork) -> None:
    """Count the changes as uses of the keys that made them."""
    for caller, when in used:
        usage = api_keys.Usage(
            organization_id=caller.organization_id, key_id=caller.actor.id, uses=1, last=when
        )
        unit.write(api_keys.add_usage, [usage])


def _create(caller: Caller, patch: SettingsPatch, unit: UnitOfWork) -> Outcome:
    return changes.create(unit, caller, patch)


def _change(request: ChangeRequest, patch: SettingsPatch, unit: UnitOfWork) -> Outcome:
    return changes.change(unit, request, patch, Cause(type="patch"))


def _interleaved() -> list[tuple[str, Change]]:
    """The changes of the three assistants, taking turns, as they would have happened."""
    turns = max(map(len, _CHANGES.values()))
    return [
        (name, changes[turn])
        for turn in range(turns)
        for name, changes in _CHANGES.items()
        if turn < len(changes)
    ]


def _people(unit: UnitOfWork) -> tuple[dict[str, Caller], str]:
    organization_id = unit.write(
        organizations.ensure_organization, unit.vault, ORGANIZATION, unit.clock()
    )
    callers = {}
    tokens = []
    for name, (email, role) in _PEOPLE.items():
        key, token = api_keys.create(
            unit,
            system(organization_id, "backstory demo"),
            user_id=unit.write(organizations.ensure_user, organization_id, name, email),
            name=name,
            role=role,
            narrowed={},
        )
        principal = unit.read(principals.principal_of, organization_id, key.id)
        callers[name] = Caller(organization_id=organization_id, actor=principal.actor)
        tokens.append(token)
    return callers, tokens[0]


class _Clock:
    """A clock that moves on at each call, so that the history spans weeks."""

    def __init__(self, end: datetime) -> None:
        self._end = end
        self._now = end - timedelta(days=_DAYS)

    @property
    def latest(self) -> datetime:
        """The last moment that it gave."""
        return min(self._now, self._end)

    def __call__(self) -> datetime:
        self._now += timedelta(days=_DAYS) / 60
        return min(self._now, self._end)
