"""The plain page at ``/``: what runs here and how to talk to it. Everything that comes from outside is escaped."""

from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; }
code, pre { font: 0.9rem/1.5 ui-monospace, monospace; }
pre { padding: 0.8rem 1rem; border: 1px solid color-mix(in srgb, currentColor 25%, transparent); border-radius: 0.4rem;
  overflow-x: auto; }
dt { font-weight: 600; margin-top: 0.6rem; }
dd { margin: 0; }
"""


def render(facts: dict[str, Any]) -> str:
    """The page as HTML, from the details of ``/health``."""
    bases = "".join(
        f"<li><code>{escape(base['kb_id'])}</code> {escape(base['title'])}</li>" for base in facts["knowledge_bases"]
    )
    first = facts["knowledge_bases"][0]["kb_id"] if facts["knowledge_bases"] else "KB"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>LiveAvatar</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
<h1>LiveAvatar</h1>
<p>A server for talking avatars that answer from a knowledge base. It is <strong>{escape(facts["status"])}</strong>.</p>
<p>Ask it something from a terminal:</p>
<pre>liveavatar talk --kb {escape(first)} "When does it open?"</pre>
<p>Or point any OpenAI Realtime client at <code>/v1</code> of this address; avatars connect to <code>/ws</code>.</p>
<h2>Knowledge bases</h2>
<ul>{bases or "<li>none yet: fill one with <code>liveavatar ingest</code></li>"}</ul>
<h2>What runs here</h2>
<dl>
<dt>Realtime service</dt><dd>{escape(facts["upstream"])}</dd>
<dt>Sessions</dt><dd>{facts["sessions"]} of {facts["max_sessions"]}</dd>
<dt>Version</dt><dd>{escape(facts["version"])}</dd>
</dl>
<p>More: <a href="/health">/health</a></p>
</main>
</body>
</html>
"""
