import stat
from pathlib import Path

import pytest

from sidestream.gateway.admin_token import FILE, VARIABLE, TokenError, admin_token
from sidestream.observe.logging import logger


def test_a_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    made = admin_token({}, tmp_path / "state", logger())
    path = tmp_path / "state" / FILE
    assert len(made) >= 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert admin_token({}, tmp_path / "state", logger()) == made


def test_the_environment_goes_first_and_makes_no_file(tmp_path: Path) -> None:
    assert admin_token({VARIABLE: " 0123456789abcdef\n"}, tmp_path, logger()) == "0123456789abcdef"
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    "token", ["", "short", "with a space in its midst", "ümlaut-ümlaut-ümlaut", "x" * 600]
)
def test_what_is_no_token_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(TokenError):
        admin_token({VARIABLE: token}, tmp_path, logger())


def test_a_file_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(TokenError, match="can't be used"):
        admin_token({}, tmp_path, logger())
    (tmp_path / FILE).rmdir()
    (tmp_path / FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(TokenError, match="can't be used"):
        admin_token({}, tmp_path, logger())


def test_an_empty_file_of_a_start_that_was_cut_short_is_filled(tmp_path: Path) -> None:
    (tmp_path / FILE).touch(mode=0o644)
    assert admin_token({}, tmp_path, logger()) == (tmp_path / FILE).read_text().strip()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
