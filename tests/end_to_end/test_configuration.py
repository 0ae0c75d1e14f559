"""Configuration: every value that cannot be used ends the command with exit code 2 and one line."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path

import httpx
import pytest

from app.cli import main
from app.config import Config, ConfigError, read_config
from app.limits import Rate
from app.vault.keys import read_master_keys
from tests.end_to_end.processes import run, serving, started

PASSWORD = "of-the-database"  # noqa: S105  # to be sure that it is not printed

UNUSABLE = {
    "BACKSTORY_DATABASE_URL=backstory.db": "not a database URL",
    f"BACKSTORY_DATABASE_URL=mysql+asyncmy://me:{PASSWORD}@db/backstory": "not supported",
    f"BACKSTORY_DATABASE_URL=postgresql://me:{PASSWORD}@db/backstory": "postgresql+asyncpg://",
    f"BACKSTORY_DATABASE_URL=postgresql+asyncpg://me:{PASSWORD}@db": "names no database",
    "BACKSTORY_DATABASE_URL=postgresql+asyncpg://db/b?pool_mode=none": "session or transaction",
    "BACKSTORY_READ_STALENESS=1": "a time such as",
    "BACKSTORY_MIN_FREE_SPACE=64": "a size such as",
    "BACKSTORY_MIN_FREE_SPACE=64MB": "a size such as",
    "BACKSTORY_CACHE_SIZE=lots": "a size such as",
    "BACKSTORY_READ_TIMEOUT=0s": "more than 0s",
    "BACKSTORY_DATABASE_URL=sqlite:///backstory.db": "use sqlite+aiosqlite:///PATH",
    "BACKSTORY_DATABASE_URL=sqlite+aiosqlite://": "names no file",
    "BACKSTORY_DATABASE_URL=sqlite+aiosqlite:///:memory:": "names no file",
    "BACKSTORY_PORT=http": "0 to 65535",
    "BACKSTORY_PORT=-1": "0",
    "BACKSTORY_PORT=65536": "65535",
    "BACKSTORY_MAX_HEADERS=0": ">= 1",
    "BACKSTORY_HEADER_TIMEOUT=0s": "at least 1s",
    "BACKSTORY_IDLE_TIMEOUT=5": "a time such as",
    "BACKSTORY_BODY_MEMORY=0": "at least 1MiB",
    "BACKSTORY_DRAIN_TIME=0s": "at least 1s",
    "BACKSTORY_LOG_LEVEL=loud": "debug, info, warning or error",
    "BACKSTORY_LOG_FORMAT=xml": "json or console",
    "BACKSTORY_RATE_LIMIT=fast": "a rate such as 1000/s",
    "BACKSTORY_RATE_LIMIT=0/s": "a rate such as 1000/s",
    "BACKSTORY_RATE_LIMIT=5/d": "a rate such as 1000/s",
    "BACKSTORY_ORGANIZATION_RATE_LIMIT=-1": "or off",
    "BACKSTORY_FAILED_LOGIN_LIMIT=1.5/s": "or off",
    "BACKSTORY_EXPORT_LIMIT=0": "1 to 1000",
    "BACKSTORY_EXPORT_LIMIT=off": "1 to 1000",
    "BACKSTORY_STREAM_LIMIT=0": "1 to 100000",
    "BACKSTORY_ORGANIZATION_STREAM_LIMIT=many": "1 to 100000",
    "BACKSTORY_STREAM_HEARTBEAT=0s": "at least 1s",
    "BACKSTORY_TRUSTED_PROXIES=*": "addresses or networks",
    "BACKSTORY_TRUSTED_PROXIES=10.0.0.1/8": "addresses or networks",
    "BACKSTORY_TRUSTED_PROXIES=127.0.0.1,proxy": "addresses or networks",
    "BACKSTORY_METRICS_BIND=9464": "a host and a port",
    "BACKSTORY_METRICS_BIND=127.0.0.1:65536": "a host and a port",
    "BACKSTORY_METRICS_BIND=::1:9464": "a host and a port",
    "BACKSTORY_WEBHOOK_PRIVATE=yes": "refuse or allow",
    "BACKSTORY_WEBHOOK_CONCURRENCY=0": "1 to 1000",
    "BACKSTORY_PUBLIC_URL=backstory.example": "a URL such as",
    "BACKSTORY_PUBLIC_URL=https://me:pw@backstory.example": "a URL such as",
    "BACKSTORY_DATABASE=backstory.db": "no such setting",
    "BACKSTORY_LOGLEVEL=info": "no such setting",
}
UNUSABLE_KEYS = {
    "BACKSTORY_MASTER_KEY=of-the-database": "32 bytes in base64",
    "BACKSTORY_MASTER_KEY=b2YtdGhlLWRhdGFiYXNl": "32 bytes in base64",
    "BACKSTORY_MASTER_KEY_FILE=nowhere/master.key": "No such file",
}


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("BACKSTORY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("setting", UNUSABLE)
def test_an_unusable_value_is_exit_code_2_and_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    setting: str,
) -> None:
    name, _, value = setting.partition("=")
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["backstory", "check"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    (line,) = printed.err.splitlines()
    assert line.startswith(f"backstory: {name}: ")
    assert UNUSABLE[setting] in line
    assert PASSWORD not in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("setting", UNUSABLE_KEYS)
def test_an_unusable_master_key_is_named_and_not_shown(setting: str) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(ConfigError) as refused:
        read_master_keys(read_config({name: value}))
    assert str(refused.value).startswith(f"{name}: ")
    assert UNUSABLE_KEYS[setting] in str(refused.value)
    assert value not in str(refused.value)


@pytest.mark.parametrize("setting", ["BACKSTORY_LOG_LEVEL=loud", "BACKSTORY_MASTER_KEY=short"])
def test_a_server_does_not_start_with_an_unusable_value(tmp_path: Path, setting: str) -> None:
    name, _, value = setting.partition("=")
    refused = run(tmp_path, "serve", "--port", "0", **{name: value})
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"backstory: {name}: expected ")


def test_an_unusable_flag_is_explained_like_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["backstory", "serve", "--port", "http"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert "BACKSTORY_PORT" in capsys.readouterr().err


def test_every_setting_has_a_default_that_works() -> None:
    assert read_config({}) == Config()


@pytest.mark.parametrize("name", Config.__struct_fields__)
def test_an_empty_variable_is_as_absent(name: str) -> None:
    assert read_config({f"BACKSTORY_{name.upper()}": ""}) == Config()


def test_a_flag_wins_over_its_variable() -> None:
    assert read_config({"BACKSTORY_PORT": "1"}, port="2").port == 2


def test_words_are_taken_in_any_case() -> None:
    config = read_config({"BACKSTORY_LOG_LEVEL": "WARNING", "BACKSTORY_LOG_FORMAT": "Console"})
    assert (config.log_level, config.log_format) == ("warning", "console")


def test_variables_of_the_tests_and_of_others_are_left_alone() -> None:
    assert read_config({"BACKSTORY_TEST_URL": "x", "BACKSTORYTELLER": "x"}) == Config()


def test_control_a_misspelt_variable_is_not_left_alone() -> None:
    with pytest.raises(ConfigError):
        read_config({"BACKSTORY_TESTS_URL": "x"})


@pytest.mark.sqlite
def test_a_server_takes_all_that_is_configured(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
    (tmp_path / "elsewhere").mkdir()
    settings = {
        "BACKSTORY_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/elsewhere/settings.db",
        "BACKSTORY_HOST": "localhost",
        "BACKSTORY_PORT": "0",
        "BACKSTORY_LOG_FORMAT": "json",
        "BACKSTORY_LOG_LEVEL": "info",
        "BACKSTORY_MASTER_KEY_FILE": str(keys),
    }
    with started(tmp_path, "serve", **settings) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/health").status_code == 200
        process.terminate()
        process.wait(20)
    assert (tmp_path / "elsewhere" / "settings.db").exists()
    assert not (tmp_path / "elsewhere" / "settings.db.key").exists()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["path"] for line in lines if line["event"] == "request"] == ["/health"]


@pytest.mark.sqlite
def test_a_console_log_is_for_people_and_a_level_leaves_out_what_is_below(tmp_path: Path) -> None:
    settings = {"BACKSTORY_LOG_FORMAT": "console", "BACKSTORY_LOG_LEVEL": "warning"}
    with serving(tmp_path / "backstory.db", **settings) as running:
        assert httpx.get(f"{running.url}/health").status_code == 200
        running.process.terminate()
        running.process.wait(20)
    first, second = (tmp_path / "log").read_text().splitlines()
    assert re.match(r"\S+ \[warning *\] master_key_made ", first)
    assert re.match(r"\S+ \[warning *\] audit_key_made ", second)


def test_a_limit_is_a_rate_or_off() -> None:
    config = read_config({"BACKSTORY_RATE_LIMIT": " 60/M ", "BACKSTORY_FAILED_LOGIN_LIMIT": "OFF"})
    assert config.key_rate == Rate(count=60, seconds=60)
    assert config.failed_login_rate is None
    assert read_config({"BACKSTORY_RATE_LIMIT": "0"}).key_rate is None
    assert read_config({}).key_rate == Rate(count=20_000, seconds=1)


def test_trusted_proxies_are_separated_by_commas_or_blanks() -> None:
    listed = "10.0.0.7, 10.1.0.0/16 2001:db8::/32,::1"
    config = read_config({"BACKSTORY_TRUSTED_PROXIES": listed})
    assert config.proxies == ["10.0.0.7", "10.1.0.0/16", "2001:db8::/32", "::1"]
    assert Config().proxies == []
