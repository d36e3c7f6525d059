"""Profiles on social networks: which links are a business's own page, and which are share buttons."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

_NETWORK_OF_DOMAIN = {
    "facebook.com": "facebook", "fb.com": "facebook", "fb.me": "facebook", "instagram.com": "instagram",
    "instagr.am": "instagram", "linkedin.com": "linkedin", "twitter.com": "twitter", "x.com": "twitter",
    "youtube.com": "youtube", "youtu.be": "youtube", "tiktok.com": "tiktok", "pinterest.com": "pinterest",
    "discord.com": "discord", "discordapp.com": "discord", "discord.gg": "discord", "xing.com": "xing",
    "t.me": "telegram", "telegram.me": "telegram",
}  # fmt: skip

# First path segments that lead to the network's own functions, never to a profile.
_FUNCTIONS = {
    "facebook": "sharer sharer.php share share.php dialog plugins login login.php tr events hashtag groups policies"
    " help legal privacy watch marketplace settings v2.0 photo.php photo story.php video.php people".split(),
    "instagram": "p explore accounts about developer legal reel reels tv stories _n _u embed".split(),
    "twitter": "share intent home search hashtag login signup i tos privacy about settings explore oauth account"
    " widgets download statuses status".split(),
    "linkedin": "sharing sharearticle cws feed login jobs help legal learning uas pulse".split(),
    "youtube": "results feed about t embed playlist ads creators howyoutubeworks iframe_api".split(),
    "tiktok": "share tag music discover legal about login foryou".split(),
    "pinterest": "login search categories explore about business settings today ideas".split(),
    "discord": "login register app developers download nitro safety terms privacy company".split(),
    "xing": "spi app share social_plugins".split(),
    "telegram": "share".split(),
}
_HANDLE = re.compile(r"@?[\w.%\-]{1,100}\Z")
_LINKEDIN_KINDS = frozenset("in company school showcase pub organization".split())
_YOUTUBE_KINDS = frozenset("c user channel".split())


def network_of(url: str) -> str | None:
    """The network of ``url`` if it is a profile there (``"facebook"``, ``"linkedin"`` …), else ``None``.

    ``url`` may lack its scheme. A video, a post or a share link is no profile.
    """
    try:
        parts = urlsplit(url if "//" in url[:8] else f"//{url}", scheme="https")
        host = (parts.hostname or "").lower()
    except ValueError:
        return None
    network = _NETWORK_OF_DOMAIN.get(".".join(host.split(".")[-2:]))
    if network is None and re.fullmatch(r"(?:[\w-]{1,20}\.)?pinterest\.(?:[a-z]{2}|co\.uk|com\.au|com\.mx)", host):
        network = "pinterest"
    segments = [segment for segment in parts.path.split("/") if segment]
    if network is None or parts.scheme not in ("http", "https") or not segments:
        return None
    if network == "twitter" and host.split(".")[0] not in ("www", "mobile", "m", "twitter", "x"):
        return None
    if segments[0].lower() in _FUNCTIONS[network] or not _HANDLE.match(segments[0]):
        return None
    return network if _is_profile(network, host, segments, parts.query) else None


def _is_profile(network: str, host: str, segments: list[str], query: str) -> bool:
    first = segments[0].lower()
    if network == "linkedin":
        return first in _LINKEDIN_KINDS and len(segments) >= 2
    if network == "facebook":
        if first == "profile.php":
            return "id" in parse_qs(query)
        if first == "pages":
            return len(segments) >= 2 and segments[1].lower() not in ("search", "create")
        return len(first) > 1
    if network == "youtube":
        if host.endswith("youtu.be") or first == "watch":
            return False
        return first.startswith("@") or (first in _YOUTUBE_KINDS and len(segments) >= 2) or len(segments) == 1
    if network == "tiktok":
        return first.startswith("@") and len(segments) == 1
    if network == "discord":
        return host.endswith("discord.gg") or (first == "invite" and len(segments) >= 2)
    if network == "pinterest":
        return first != "pin"
    if network == "twitter":
        return len(segments) == 1 and re.fullmatch(r"@?\w{1,15}", segments[0]) is not None
    if network == "xing":
        return first in ("companies", "pages", "profile", "company") and len(segments) >= 2
    return len(segments) == 1


def find_socials(urls: Iterable[str]) -> dict[str, str]:
    """Network → the first profile of it among ``urls``."""
    socials: dict[str, str] = {}
    for url in urls:
        network = network_of(url)
        if network and network not in socials:
            socials[network] = url
    return socials
