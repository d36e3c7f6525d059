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
_HANDLES = {
    "twitter": re.compile(r"@?\w{1,15}\Z"),
    "instagram": re.compile(r"@?[\w.]{1,30}\Z"),
    "tiktok": re.compile(r"@[\w.]{2,24}\Z"),
}
_LINKEDIN_KINDS = frozenset("in company school showcase pub organization".split())
_YOUTUBE_KINDS = frozenset("c user channel".split())
_XING_KINDS = frozenset("companies pages profile company".split())
# What stands behind a profile in the address of one of its posts, which may be quoted anywhere.
_POSTS = frozenset("status statuses video videos photo photos posts reel p".split())
# First segments that only say which kind of profile the second one names.
_KINDS = {"linkedin": _LINKEDIN_KINDS, "youtube": _YOUTUBE_KINDS, "xing": _XING_KINDS, "discord": frozenset(["invite"])}
# Searched in lower case: without IGNORECASE the engine skips to the letters that open a name.
_MAY_BE_PROFILE = re.compile("|".join(map(re.escape, (*_NETWORK_OF_DOMAIN, "pinterest."))))
_WRITTEN = re.compile(
    r"(?<![\w@.])(?:https?://)?(?:[a-z]{1,20}\.){0,2}(?:"
    + "|".join(map(re.escape, sorted(_NETWORK_OF_DOMAIN, key=len, reverse=True)))
    + r")/[\w.@%/?=&~-]{1,200}",
    re.IGNORECASE,
)


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
    if network == "discord":
        return host.endswith("discord.gg") or (first == "invite" and len(segments) >= 2)
    if network in ("linkedin", "xing"):
        return first in _KINDS[network] and len(segments) >= 2
    if network == "pinterest":
        return first != "pin"
    return len(segments) == 1 and _HANDLES.get(network, _HANDLE).match(segments[0]) is not None


def profiles_in_text(text: str) -> list[str]:
    """The profile addresses that stand in ``text``, in order, with or without scheme, as far as they name a profile."""
    if "/" not in text or not _MAY_BE_PROFILE.search(text.lower()):
        return []
    found = (match.group().rstrip(".,;:!?") for match in _WRITTEN.finditer(text))
    return [profile for url in found if (profile := profile_of(url))]


def profile_of(url: str) -> str | None:
    """The profile that ``url`` names, without its tabs and queries; ``None`` for posts, videos and other pages."""
    scheme, mark, rest = url.strip().rpartition("://")
    head, _, query = rest.partition("#")[0].partition("?")
    host, *segments = [part for part in head.split("/") if part] or [""]
    network = _NETWORK_OF_DOMAIN.get(".".join(host.lower().split(".")[-2:]), "")
    kind = segments[0].lower() if segments else ""
    keep = 2 if kind in _KINDS.get(network, ()) else 1
    if any(segment.lower() in _POSTS for segment in segments[keep : keep + 1]):
        return None
    if network == "facebook" and kind == "pages":
        keep = 4 if "category" in segments[1:2] else 3  # pages/<name>/<number>, pages/category/<kind>/<name>
    profile = f"{scheme}{mark}{host}/{'/'.join(segments[:keep])}"
    if network == "facebook" and kind == "profile.php":
        profile += f"?id={parse_qs(query).get('id', [''])[0]}"
    return profile if network_of(profile) else None


def find_socials(urls: Iterable[str]) -> dict[str, str]:
    """Network → the first profile of it among ``urls``."""
    socials: dict[str, str] = {}
    for url in urls:
        profile = profile_of(url) if _MAY_BE_PROFILE.search(url.lower()) else None
        network = network_of(profile) if profile else None
        if profile and network and network not in socials:
            socials[network] = profile if "://" in profile else f"https://{profile}"
    return socials
