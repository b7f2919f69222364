"""The chat and token page: one file, which asks nobody but the service that it came from."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from starlette.responses import HTMLResponse


def page_response() -> HTMLResponse:
    """Return the page, with a policy under which nothing runs but what is in it."""
    page = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {_digest(page, 'script')}; "
        f"style-src {_digest(page, 'style')}; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


def _digest(page: str, tag: str) -> str:
    """Return what names the one script or style of the page in a policy."""
    (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
