"""Says of a request to one of our servers whether it comes from this machine, and whether another site's page sent it.

For the live page and for the service of a model alike; plain values, so that no web framework is loaded.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address means this machine alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def named_host(hosts: Sequence[str]) -> str | None:
    """Return the name in the header Host; None where there is not exactly one, or it is none."""
    try:
        return urlsplit(f"//{hosts[0]}").hostname if len(hosts) == 1 else None
    except ValueError:
        return None


def from_other_site(host: str, origin: str | None, site: str | None, *, followed: bool) -> bool:
    """Return whether a browser says that a page of another site has sent a request.

    host, origin, site: the headers Host, Origin and Sec-Fetch-Site. followed: a link to a page that may be opened.
    """
    if origin is not None:
        try:
            if urlsplit(origin).netloc.lower() != host.lower():
                return True
        except ValueError:
            return True
    return site not in (None, "same-origin", "none") and not followed


def same(given: str, token: str) -> bool:
    """Compare two texts in a time that does not say where they differ."""
    return hmac.compare_digest(given.encode(errors="surrogatepass"), token.encode())
