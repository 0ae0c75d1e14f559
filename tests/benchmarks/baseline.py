"""What one would write instead: FastAPI, SQLAlchemy's ORM, one row and an audit table.

``python -m tests.benchmarks.baseline FILE DATABASE_URL`` makes assistants of the settings in a file
in an empty database, and serves it. No history, no undo, no sealed secrets, no proof: it is the
same work on the wire, done in the usual way, on the same kind of database, as durable.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

from tests.benchmarks.bare import serve

TOKEN = "baseline"  # noqa: S105  # of this benchmark alone
COUNT = 100


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's way
        dict[str, Any]: sa.JSON,
        datetime: sa.DateTime(timezone=True),
    }


class Key(Base):
    __tablename__ = "keys"
    digest: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int]


class Assistant(Base):
    __tablename__ = "assistants"
    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(default=1)
    name: Mapped[str]
    settings: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime]


class Audit(Base):
    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    assistant_id: Mapped[int] = mapped_column(sa.ForeignKey("assistants.id"), index=True)
    user_id: Mapped[int]
    at: Mapped[datetime]
    before: Mapped[dict[str, Any]]
    after: Mapped[dict[str, Any]]


class Shown(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    version: int
    name: str
    settings: dict[str, Any]
    updated_at: datetime


class Patch(BaseModel):
    name: str | None = None
    settings: dict[str, Any] = {}  # pydantic copies it


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(_session)]


async def _user(session: Session, authorization: Annotated[str, Header()]) -> int:
    key = await session.get(Key, _digest(authorization.removeprefix("Bearer ")))
    if key is None:
        raise HTTPException(401)
    return key.user_id


User = Annotated[int, Depends(_user)]
routes = APIRouter()


@routes.get("/assistants/{assistant_id}")
async def show(assistant_id: int, session: Session, _user: User) -> Shown:
    found = await session.get(Assistant, assistant_id)
    if found is None:
        raise HTTPException(404)
    return Shown.model_validate(found)


@routes.patch("/assistants/{assistant_id}")
async def change(assistant_id: int, patch: Patch, session: Session, user: User) -> Shown:
    # Lock before reading, as everybody must who does not want to lose changes.
    await session.rollback()
    if session.get_bind().dialect.name == "sqlite":  # it has no FOR UPDATE
        await session.execute(sa.text("BEGIN IMMEDIATE"))
    found = await session.get(Assistant, assistant_id, populate_existing=True, with_for_update=True)
    if found is None:
        raise HTTPException(404)
    before = found.settings
    found.name = patch.name or found.name
    found.settings = _merged(before, patch.settings)
    found.version += 1
    found.updated_at = datetime.now(UTC)
    session.add(
        Audit(
            assistant_id=found.id,
            user_id=user,
            at=found.updated_at,
            before={name: before.get(name) for name in patch.settings},
            after=patch.settings,
        )
    )
    await session.commit()
    return Shown.model_validate(found)


def create_app(url: str) -> FastAPI:
    """The application on a database that there is."""
    app = FastAPI()
    app.state.sessions = async_sessionmaker(_engine(url), expire_on_commit=False)
    app.include_router(routes)
    return app


def _engine(url: str) -> AsyncEngine:
    """As it comes; a file is made as durable as ours."""
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _configure)
    return engine


def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _merged(settings: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    return settings | {
        name: _merged(settings.get(name, {}), value) if isinstance(value, dict) else value
        for name, value in patch.items()
    }


async def _fill(url: str, settings: dict[str, Any]) -> None:
    engine = _engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with async_sessionmaker(engine)() as session:
        session.add(Key(digest=_digest(TOKEN), user_id=1))
        now = datetime.now(UTC)
        for _ in range(COUNT):
            session.add(Assistant(name="Front desk", settings=settings, updated_at=now))
        await session.commit()
    await engine.dispose()


def main() -> None:
    _, file, url = sys.argv
    asyncio.run(_fill(url, json.loads(Path(file).read_bytes())))
    serve(create_app(url))  # type: ignore[arg-type]  # an ASGI application, too


if __name__ == "__main__":
    main()
