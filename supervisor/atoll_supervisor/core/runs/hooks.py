"""What a webhook is sent, and how it knows who sent it."""

import hashlib
import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from atoll_supervisor.core.runs.records import Webhook

SIGNATURE = "X-Atoll-Signature"
WAITS = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
"""Seconds between the tries; after the last it is given up."""
MOST_URL = 2000
MOST_SECRET = 1000
"""Characters; a batch keeps both with each of its runs."""
_KEYS_OF_AWS = ip_address("fd00:ec2::254")
"""The service that hands out keys has a unique local address there, beside its link-local one."""


def signature_of(secret: str, body: bytes) -> str:
    """`sha256=` and the HMAC of the body (RFC 2104) in hexadecimal, as GitHub's have it."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def webhook_fault(webhook: Webhook) -> str:
    """Why it cannot be told anything, or ""; never shows the URL, it may hold a secret."""
    url = webhook.url
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "webhook.url is no URL"
    if parts.scheme not in ("http", "https") or not host or port == 0:
        return "webhook.url must begin with http:// or https:// and name a host"
    if parts.username is not None or parts.password is not None:
        return "webhook.url must hold no user name and no password; `secret` signs the request"
    if len(url) > MOST_URL or not url.isprintable() or " " in url:
        return "webhook.url is too long, or holds spaces or control characters"
    if len(webhook.secret) > MOST_SECRET:
        return f"webhook.secret has more than {MOST_SECRET} characters"
    return ""


def address_fault(address: str, *, serves_others: bool) -> str:
    """Why nothing is sent to this IP address, or "" when it may be.

    Where people of other machines name it, it must not be this machine's own: what listens
    there alone trusts whoever can reach it. A link-local one is nobody's webhook, but in a
    cloud the service that hands out keys (row S20 of attacks.md).
    """
    found = ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    if found.is_link_local or found == _KEYS_OF_AWS:
        return "link-local addresses are told nothing"
    if found.is_multicast:
        return "it is no address of one machine"
    if serves_others and (found.is_loopback or found.is_unspecified):
        return "addresses of this machine are told nothing while it is served to others"
    return ""
