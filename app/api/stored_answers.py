"""Responses to requests with an ``Idempotency-Key``: what is stored of them, and their replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from litestar.status_codes import HTTP_200_OK

from app.api import change_set_outcomes, responses
from app.api.reply import Reply
from app.transactions.answers import Answer, ShownAssistant, ShownChangeSet

if TYPE_CHECKING:
    import sqlalchemy as sa
    from litestar import Response


def answer_of(response: Response[bytes]) -> Answer:
    """What is stored of a response: its body, or what that can be made from again."""
    source = response.source() if isinstance(response, Reply) and response.source else None
    return Answer(
        status=response.status_code or HTTP_200_OK,
        media_type=str(response.media_type or ""),
        headers=dict(response.headers),
        body=source or response.content,
    )


def replay(organization_id: int, answer: Answer, connection: sa.Connection) -> Response[bytes]:
    """The response of which an answer was stored.

    A release with other settings shows those of the version, with the tag of that representation.
    """
    headers = answer.headers
    match answer.body:
        case bytes():
            body = answer.body
        case ShownAssistant():
            body, tag = responses.made_again(connection, organization_id, answer.body)
            headers = headers | {"etag": tag}
        case ShownChangeSet():
            body = change_set_outcomes.made_again(connection, organization_id, answer.body)
        case _:
            assert_never(answer.body)
    return Reply(body, status_code=answer.status, media_type=answer.media_type, headers=headers)
