"""Asks the API of a gateway, for commands: answers are bounded, errors told in plain words."""

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from sidestream.errors import Fault, SidestreamError

TIMEOUT_S: Final = 15.0
ANSWER_MAX: Final = 256 * 1024 * 1024


class ApiError(SidestreamError):
    """The API did not give what was asked for."""


class ApiUsageError(ApiError):
    """What was asked cannot be asked."""

    fault = Fault.OPERATOR


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the token is for one place only."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


@dataclass(frozen=True, slots=True)
class ApiClient:
    """Where the API is, and what opens it.

    Attributes:
        url: such as `http://127.0.0.1:8080`.
        token: for `Authorization: Bearer`; never shown.
    """

    url: str
    token: str

    def __repr__(self) -> str:
        return f"ApiClient({self.url!r})"

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON at a path.

        Raises:
            ApiError: there is no such thing, or no answer.
        """
        body = self.fetch(path + (f"?{urlencode(query)}" if query else ""), "application/json")
        try:
            return json.loads(body)
        except ValueError:
            raise ApiError(f"{self.url} answered with something that is no JSON", hint=_WHERE) from None

    def fetch(self, path: str, accept: str) -> bytes:
        """Return what is at a path in a media type.

        Raises:
            ApiError: there is no such thing, or no answer.
        """
        request = urllib.request.Request(_checked(self.url) + path)  # noqa: S310 - the scheme is checked
        request.add_header("Accept", accept)
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        # Through no proxy: the API is asked where it is.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
        try:
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                body = answer.read(ANSWER_MAX + 1)
        except urllib.error.HTTPError as error:
            raise self._refused(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise ApiError(f"{self.url} does not answer: {reason}", hint=_WHERE) from None
        if len(body) > ANSWER_MAX:
            raise ApiError(f"{self.url} answered with more than {ANSWER_MAX} bytes")
        return bytes(body)

    def _refused(self, error: urllib.error.HTTPError) -> ApiError:
        with error:
            try:
                problem = json.loads(error.read(65_536))
                detail = str(problem["detail"])
            except (ValueError, KeyError, TypeError, OSError):
                detail = f"{self.url} answered {error.code} {error.reason}"
        if error.code == 401:
            return ApiUsageError("the API wants another token", hint=_WHO)
        if error.code == 400:
            return ApiUsageError(detail.rstrip("."))
        return ApiError(detail.rstrip("."))


_WHERE: Final = "Give the address of node.api with --api"
_WHO: Final = (
    "Give it with --token or in SIDESTREAM_ADMIN_TOKEN; a gateway keeps its own in the file admin.token "
    "beside its database"
)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ApiUsageError(f"{url[:200]!r} is no URL of an API", hint="Write http://127.0.0.1:8080")
    return url.rstrip("/")
