"""Registered domains and known suffixes, from the public suffix list that ships with ``tldextract``.

Never the network: the bundled snapshot decides, so that the same page gives the same lead everywhere.
"""

from __future__ import annotations

from functools import lru_cache

import tldextract

_extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

# Hosts that many businesses share: they identify a platform, never one business. Mail providers as well,
# because an address there says nothing about whose it is.
SHARED_DOMAINS = frozenset(
    "facebook.com fb.com instagram.com twitter.com x.com linkedin.com youtube.com youtu.be tiktok.com pinterest.com"
    " discord.com discord.gg google.com goo.gl g.page yelp.com tripadvisor.com linktr.ee wa.me whatsapp.com t.me"
    " wixsite.com wordpress.com blogspot.com weebly.com squarespace.com business.site godaddysites.com jimdo.com"
    " gmail.com googlemail.com yahoo.com hotmail.com outlook.com live.com msn.com aol.com icloud.com me.com gmx.de"
    " gmx.net gmx.at web.de t-online.de freenet.de mail.ru yandex.ru btinternet.com orange.fr wanadoo.fr free.fr"
    " laposte.net libero.it virgilio.it bigpond.com optusnet.com.au protonmail.com proton.me comcast.net"
    " qq.com 163.com 126.com sina.com naver.com daum.net rediffmail.com ymail.com yahoo.co.jp yahoo.co.uk yahoo.co.in"
    " yahoo.fr yahoo.de yahoo.it yahoo.es hotmail.co.uk hotmail.fr hotmail.de hotmail.it live.co.uk zoho.com"
    " fastmail.com seznam.cz wp.pl o2.pl onet.pl interia.pl uol.com.br bol.com.br terra.com.br".split()
)

# Below these, each name is one customer's own.
SITE_BUILDERS = frozenset(
    "wixsite.com wordpress.com blogspot.com weebly.com squarespace.com business.site godaddysites.com jimdo.com".split()
)


@lru_cache(maxsize=16_384)
def registered_domain(host_or_url: str) -> str | None:
    """``"example.co.uk"`` for ``"https://shop.example.co.uk/x"``; ``None`` without a known suffix (an IP, "
    "``file:``)."""
    try:
        found = _extract(host_or_url)
    except ValueError:
        return None
    return f"{found.domain}.{found.suffix}".lower() if found.domain and found.suffix else None


def is_shared(host: str) -> bool:
    """Whether a host belongs to many: a platform with all its hosts, a mail provider, or a suffix that others register
    names under (``github.io``). A customer's own name at a site builder does not."""
    registered = registered_domain(host)
    if registered in SHARED_DOMAINS and (host == registered or registered not in SITE_BUILDERS):
        return True
    return not _extract(host, include_psl_private_domains=True).domain


def own_domain(host_or_url: str | None) -> str | None:
    """The registered domain, if one business can own it: not a social network, site builder or mail provider."""
    domain = registered_domain(host_or_url) if host_or_url else None
    return None if domain is None or domain in SHARED_DOMAINS else domain


def has_known_suffix(host: str) -> bool:
    """Whether ``host`` ends in a suffix under which names can be registered (``image.png`` does not)."""
    return registered_domain(host) is not None
