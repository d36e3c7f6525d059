"""Pages that draw exactly one phone number in a colour of its own, each with another way to stand on a picture."""

# ruff: noqa: E501 - a page reads best as one line

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NUMBER = "+49 30 23125852"
E164 = "+493023125852"
COLOUR = (255, 0, 255)

STYLE = "body{margin:0;font:16px sans-serif}.n{font:26px monospace;color:#f0f}a{text-decoration:none;color:inherit}"
SPACER = "<div style='height:1800px'></div>"
N = f"<span class=n>{NUMBER}</span>"
JSON_LD = f'<script type="application/ld+json">{{"@type":"Dentist","name":"Kim","telephone":"{NUMBER}"}}</script>'
ICON = "<svg width=48 height=48 viewBox='0 0 8 8'><rect width=8 height=8 fill='#f0f'/></svg>"
IMAGE = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='220' height='40'><rect width='220' height='40' fill='%23f0f'/></svg>"


def page(body: str, style: str = "", attributes: str = "") -> str:
    return f"<html {attributes}><title>Kim</title><style>{STYLE}{style}</style><body><h1>Kim</h1>{body}</body></html>"


def bare(body: str) -> str:
    """A page for a frame: nothing but ``body``."""
    return f"<style>{STYLE}</style><body>{body}</body>"


@dataclass(frozen=True)
class Shape:
    """``seen``: a box has to cover the number. Otherwise no picture shows it, and there must be none.

    ``frames`` are further pages by path; another origin serves the same ones. ``metrics`` go to Chrome's device emulation.
    """

    name: str
    html: str
    seen: bool = True
    frames: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    page_scale: float = 1

    @property
    def device(self) -> dict[str, object]:
        """For Chrome's ``Emulation.setDeviceMetricsOverride``."""
        return {"width": 1280, "height": 720, "deviceScaleFactor": 1, "mobile": False, **self.metrics}

    def __str__(self) -> str:
        return self.name


def shadow(inner: str, light: str = "") -> str:
    return f"<x-card>{light}</x-card><script>document.querySelector('x-card').attachShadow({{mode:'open'}}).innerHTML = `<style>{STYLE}</style>{inner}`</script>"


OVERLAY = "position:fixed;inset:0;background:#fff;z-index:9"
LONG = bare(f"{SPACER}<p>{N}</p>{SPACER}")

SHAPES = [
    Shape("plain", page(f"<p>Call {N} now</p>")),
    Shape("as text of the body", page(f"{'<br>line' * 90}<br>{N}{'<br>line' * 90}")),
    Shape("below the fold", page(f"{SPACER}<p>{N}</p>{SPACER}")),
    Shape("smooth scrolling", page(f"{SPACER}<p>{N}</p>{SPACER}", "html{scroll-behavior:smooth}")),
    Shape("twice, first where it is hidden", page(f"<nav style='display:none'>{N}</nav><p>{N}</p>")),
    Shape("in an element like another", page(f"<div><p><b>Us</b></p></div><div><p><b class=n>{NUMBER}</b></p></div>")),
    # fixed and sticky parts
    Shape("in a fixed header", page(f"<header style='position:fixed;top:0'>{N}</header>{SPACER}")),
    Shape("under a fixed header", page(
        f"<header style='position:fixed;top:0;left:0;right:0;height:200px;background:#ddd'>Kim</header>"
        f"<p style='margin:520px 0 0'>{N}</p>{SPACER}<script>scrollTo(0, 480)</script>")),
    Shape("under a fixed header for good", page(
        f"<header style='position:fixed;top:0;left:0;right:0;height:400px;background:#ddd'>Kim</header><p>{N}</p>"), seen=False),
    Shape("in a sticky bar", page(f"{SPACER}<div style='position:sticky;bottom:0'>{N}</div>{SPACER}")),
    Shape("under a sticky bar", page(f"<div style='position:sticky;top:0;height:90px;background:#ddd'></div>{SPACER}<p>{N}</p>{SPACER}")),
    # things that scroll
    Shape("in a scrolled container", page(f"<div style='height:300px;overflow:auto'>{SPACER}{N}{SPACER}</div>{SPACER}")),
    Shape("in two scrolled containers", page(
        f"{SPACER}<div style='height:400px;overflow:auto'>{SPACER}<div style='height:200px;overflow:scroll'>{SPACER}{N}{SPACER}</div>{SPACER}</div>{SPACER}")),
    Shape("the body scrolls", page(f"{SPACER}{N}{SPACER}", "html,body{height:100%;overflow:hidden}body{overflow-y:auto}")),
    Shape("far to the right", page(f"<div style='width:4000px'><span style='margin-left:3000px'>{N}</span></div>")),
    Shape("cut by its container", page(f"<div style='width:150px;overflow:hidden;white-space:nowrap'>{N}</div>")),
    Shape("outside of its container", page(f"<div style='height:40px;overflow:hidden'><p style='margin-top:100px'>{N}</p></div>"), seen=False),
    # frames
    Shape("iframe", page("<p>Us</p><iframe src=/in style='margin-left:150px;border:9px solid;padding:13px;width:400px'></iframe>"), frames={"/in": bare(N)}),
    Shape("iframe of another origin", page("<p>Us</p><iframe src=http://other.test/in style='width:400px;margin-left:50px'></iframe>"), frames={"/in": bare(N)}),
    Shape("iframe in an iframe", page("<iframe src=http://other.test/mid style='width:600px;height:400px'></iframe>"),
          frames={"/mid": bare("<iframe src=http://third.test/in style='margin:40px;width:400px'></iframe>"), "/in": bare(N)}),
    Shape("iframe far down, the number far down in it", page(f"{SPACER}<iframe src=http://other.test/in style='width:400px'></iframe>{SPACER}"), frames={"/in": LONG}),
    Shape("iframe in a scrolled container", page(f"<div style='height:250px;overflow:auto'>{SPACER}<iframe src=/in style='width:400px'></iframe>{SPACER}</div>"), frames={"/in": LONG}),
    Shape("iframe that is scaled", page("<iframe src=/in style='width:800px;height:300px;transform:scale(.6);transform-origin:0 0'></iframe>"), frames={"/in": bare(N)}),
    Shape("iframe in zoom", page("<div style='zoom:1.5'><iframe src=/in style='width:400px'></iframe></div>"), frames={"/in": bare(N)}),
    Shape("iframe under an overlay", page(f"<iframe src=/in></iframe><div style='{OVERLAY}'>Sale!</div>"), frames={"/in": bare(N)}, seen=False),
    Shape("iframe and the page know it", page(f"{JSON_LD}<iframe src=/in style='width:400px'></iframe><p hidden>{N}</p>"), frames={"/in": bare(N)}),
    # shadow trees
    Shape("shadow tree", page(shadow(f"<div><p>{N}</p></div>"))),
    Shape("slot of a shadow tree", page(shadow("<div style='padding:30px;background:#eee'><slot></slot></div>", N))),
    Shape("shadow tree under its own overlay", page(shadow(f"<p>{N}</p><div style='{OVERLAY}'></div>")), seen=False),
    # writing and sizes
    Shape("right to left", page(f"<p>هاتف <bdi dir=ltr>{N}</bdi></p>", attributes="dir=rtl lang=ar")),
    Shape("right to left, far to the left", page(f"<div style='width:3000px'><p style='margin-right:2200px' dir=ltr>{N}</p></div>", attributes="dir=rtl")),
    Shape("upright", page(f"<p style='writing-mode:vertical-rl'>{N}</p>")),
    Shape("several lines", page(f"<div style='width:90px'>{N}</div>")),
    Shape("broken anywhere", page(f"<div style='width:60px;word-break:break-all'>{N}</div>")),
    Shape("several elements", page("<p class=n><b>+49</b> <i>30</i> <span>231</span><a href=#>258<u style='text-decoration:none'>52</u></a></p>")),
    Shape("with a trunk zero", page(f"{JSON_LD}<p class=n>+49 (0) 30 23125852</p>")),
    Shape("zoom", page(f"<div style='zoom:1.7'><p>{N}</p></div>")),
    Shape("zoom of the root", page(f"<p>{N}</p>{SPACER}", "html{zoom:.8}")),
    Shape("turned", page(f"<p style='display:inline-block;transform:rotate(90deg);margin:200px'>{N}</p>")),
    Shape("turned a little", page(f"<p style='display:inline-block;transform:rotate(-24deg);margin:200px'>{N}</p>")),
    Shape("moved and scaled", page(f"<p style='display:inline-block;transform:translate(300px,200px) scale(1.8)'>{N}</p>")),
    Shape("in perspective", page(f"<div style='perspective:400px'><p style='display:inline-block;transform:rotateY(40deg);margin:100px'>{N}</p></div>")),
    Shape("device scale factor 2", page(f"{SPACER}<p>{N}</p>{SPACER}"), metrics={"deviceScaleFactor": 2}),
    Shape("browser zoom", page(f"<p>{N}</p>"), metrics={"width": 853, "height": 480, "deviceScaleFactor": 1.5}),
    Shape("tall viewport", page(f"<p style='margin-top:900px'>{N}</p>"), metrics={"width": 1000, "height": 1600}),
    Shape("pinched", page(f"<p style='margin:40px 90px'>{N}</p>"), page_scale=1.5),
    # what is not text
    Shape("field", page(f"{JSON_LD}<input class=n value='{NUMBER}' style='width:600px;padding:20px'>")),
    Shape("field, written from the right", page(f"{JSON_LD}<input class=n value='{NUMBER}' style='width:600px;text-align:right'>")),
    Shape("picture that tells it", page(f'<p><img alt="{NUMBER}" src="{IMAGE}"></p>')),
    Shape("icon", page(f"<p>Us: <a href='tel:{E164}'>{ICON}</a></p>")),
    Shape("icon from a style", page(f"<p>Us: <a href='tel:{E164}' class=i aria-label='Call'></a></p>", ".i{display:inline-block}.i::before{content:'';display:block;width:50px;height:50px;background:#f0f}")),
    Shape("button", page(f"<button class=n style='padding:20px'>{NUMBER}</button>")),
    Shape("text of a drawing", page(f"{JSON_LD}<svg width=500 height=80><text x=50 y=50 fill='#f0f' font-size=30>{NUMBER}</text></svg>")),
    Shape("several blocks", page("<div class=n style='width:250px'><div>+49</div> <div>(30)</div> <div>23125852</div></div>")),
    Shape("two columns", page(f"<div style='columns:2;width:500px;height:70px'>{'line<br>' * 2}<span class=n>+49 30<br>23125852</span></div>")),
    Shape("strict content policy", page(
        f"<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; require-trusted-types-for 'script'\">{SPACER}"
        f"<p><font color=#ff00ff size=6>{NUMBER}</font>{'<p>line' * 99}")),
    # covered and hidden
    Shape("cookie banner that is accepted", page(
        f"<p>{N}</p><div id=b role=dialog style='{OVERLAY}'>We use cookies <button onclick='b.remove()'>Accept all</button></div>")),
    Shape("cookie banner that fades out", page(
        f"<p>{N}</p><div id=b role=dialog style='{OVERLAY};transition:opacity .5s steps(1, end)' ontransitionend='b.remove()'>"
        "We use cookies <button onclick='b.style.opacity = 0'>Accept all</button></div>")),
    Shape("fades in when it is scrolled to", page(
        f"{SPACER}<p id=f style='opacity:0;transition:opacity .5s steps(1, end)'>{N}</p>{SPACER}"
        "<script>new IntersectionObserver(([e]) => { if (e.isIntersecting) f.style.opacity = 1 }).observe(f)</script>")),
    Shape("cookie overlay that stays", page(f"<p>{N}</p><div style='{OVERLAY}'>We use cookies. Read our policy.</div>"), seen=False),
    Shape("cookie bar over a number that can be scrolled away", page(
        f"<div style='height:560px'></div><p>{N}</p>{SPACER}<div style='position:fixed;bottom:0;left:0;right:0;height:200px;background:#333'>cookies</div>")),
    Shape("cookie bar over the end of a page", page(
        f"<div style='height:560px'></div><p>{N}</p><div style='position:fixed;bottom:0;left:0;right:0;height:400px;background:#333'>cookies</div>"), seen=False),
    Shape("dimmed", page(f"<p>{N}</p><div style='{OVERLAY};background:#0006'></div>")),
    Shape("behind a dialog", page(f"<p>{N}</p><dialog id=d style='width:300px;height:200px'>Hi</dialog><script>d.showModal()</script>")),
    Shape("behind the dialog itself", page(
        f"<p>{N}</p><dialog id=d style='margin:0;width:100vw;height:100vh;max-width:none;max-height:none;border:0'>Hi</dialog><script>d.showModal()</script>"), seen=False),
    Shape("in a dialog", page(f"<dialog id=d>{N}</dialog><script>d.showModal()</script>")),
    Shape("overlay that is clear", page(f"<p>{N}</p><div style='position:fixed;inset:0'></div>")),
    Shape("overlay that takes no clicks", page(f"<p>{N}</p><div style='{OVERLAY};pointer-events:none'></div>"), seen=False),
    Shape("takes no clicks itself", page(f"<div style='position:relative'><div style='position:absolute;inset:0;background:#eee'></div><p style='position:relative;pointer-events:none'>{N}</p></div>")),
    Shape("link that is stretched over it", page(f"<div style='position:relative'><p>{N}</p><a href=#x class=s></a></div>", ".s::after{content:'';position:absolute;inset:0}")),
    Shape("blurred", page(f"<p style='filter:blur(6px)'>{N}</p>"), seen=False),
    Shape("closed details", page(f"<details><summary>Phone</summary><p>{N}</p></details>"), seen=False),
    Shape("open details", page(f"<details open><summary>Phone</summary><p>{N}</p></details>")),
    Shape("not displayed", page(f"{JSON_LD}<p style='display:none'>{N}</p>"), seen=False),
    Shape("not visible", page(f"{JSON_LD}<p style='visibility:hidden'>{N}</p>"), seen=False),
    Shape("clear", page(f"<div style='opacity:0'><p>{N}</p></div>"), seen=False),
    Shape("for screen readers", page(f"<p style='position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)'>{N}</p>"), seen=False),
    Shape("moved off the page", page(f"<p style='position:absolute;left:-5000px'>{N}</p>"), seen=False),
    Shape("display: contents", page(f"<p><span class=n style='display:contents'>{NUMBER}</span></p>")),
    Shape("in a cell with a background", page(f"<table><tr><td style='background:#eef;padding:20px;position:relative'>{N}</td></tr></table>")),
    Shape("content that comes when it is near", page(f"{SPACER}<section style='content-visibility:auto;contain-intrinsic-size:500px'><p>{N}</p></section>{SPACER}")),
]  # fmt: skip
