# The page around the sections: style, heading, contents.
import html

# Eight colours that stay apart for most eyes, on light and on dark ground.
LIGHT = ("#4269d0", "#e07b00", "#2f8f5b", "#c23b5c", "#7a55b8", "#8a6d3b", "#0f8a9d", "#6b7280")
DARK = ("#7f9cf5", "#f5a742", "#5cc28d", "#f07a93", "#b79af0", "#c9a876", "#4fc3d4", "#9aa3b2")

STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --raised: #f6f7f9; --ink: #1b1f24;
  --soft: #57606a; --rule: #d9dde3; %LIGHT% }
@media (prefers-color-scheme: dark) { :root { --ground: #14171c; --raised: #1c2027;
  --ink: #e6e9ee; --soft: #a2abb8; --rule: #343b46; %DARK% } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 16px 0 4px; }
h2 { font-size: 21px; margin: 0 0 4px; }
header p { color: var(--soft); margin: 0 0 16px; }
nav a { display: inline-block; margin: 0 14px 6px 0; color: inherit; font-size: 14px; }
section { margin-top: 44px; }
section > p { color: var(--soft); margin: 0 0 12px; max-width: 76ch; }
code { font-family: "DejaVu Sans Mono", ui-monospace, monospace; font-size: 0.88em; }
figure, .wide { margin: 0; background: var(--raised); border: 1px solid var(--rule);
  border-radius: 8px; padding: 14px; overflow-x: auto; }
.wide { padding: 0; }
figure + figure { margin-top: 14px; }
svg { display: block; width: 100%; min-width: 640px; height: auto; }
svg text { fill: var(--ink); font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
svg text.axis { fill: var(--soft); font-size: 11px; }
svg text.strong { font-weight: 700; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
table { border-collapse: collapse; width: 100%; font-size: 13px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 6px 12px; text-align: left; border-bottom: 1px solid var(--rule);
  vertical-align: bottom; }
tbody tr:last-child td { border-bottom: 0; }
th { font-weight: 600; color: var(--soft); }
td:first-child { min-width: 19em; }
td.number, th.number { text-align: right; }
td.number { white-space: nowrap; }
@media print { figure, .wide { break-inside: avoid; } }
"""


def style():
    def variables(colours):
        return " ".join(f"--c{i}: {colour};" for i, colour in enumerate(colours))
    text = STYLE.replace("%LIGHT%", variables(LIGHT)).replace("%DARK%", variables(DARK))
    for i in range(len(LIGHT)):
        text += f"svg .series{i} {{ fill: var(--c{i}); }} svg .line{i} {{ stroke: var(--c{i}); }}\n"
    return text


def render(title, subtitle, sections):
    """The page; sections: (identity, name in the contents, HTML), the empty ones left out."""
    shown = [entry for entry in sections if entry[2]]
    contents = "".join(f'<a href="#{identity}">{html.escape(name)}</a>'
                       for identity, name, _ in shown)
    return ("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(title)}</title><style>{style()}</style></head><body><main>"
            f"<header><h1>{html.escape(title)}</h1><p>{html.escape(subtitle)}</p>"
            f"<nav>{contents}</nav></header>"
            + "\n".join(content for _, _, content in shown) + "</main></body></html>\n")
