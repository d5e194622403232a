"""Code of the pages in docs/, to be run as it stands."""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def run_section(page: str, *headings: str) -> dict[str, Any]:
    """Run the Python of a page's introduction and of some sections; the names that are defined then."""
    introduction, *sections = re.split(r"^## ", (DOCS / page).read_text("utf-8"), flags=re.MULTILINE)
    texts = {text.partition("\n")[0]: text for text in sections}
    names: dict[str, Any] = {}
    for text in (introduction, *(texts[heading] for heading in headings)):
        for code in re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
            exec(compile(code, page, "exec"), names)
    return names
