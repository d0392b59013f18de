"""Lets links to files outside docs/ work on the site too: there they lead to the repository's own page of the file.

On GitHub such a link works as it is written. The build fails if its file does not exist.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

LINK = re.compile(r"(?<=\]\()(\.\./[^)#\s]+)")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Replace each relative link that leaves docs/ by the address of the file in the repository."""
    docs = Path(config.docs_dir)
    folder = (docs / page.file.src_uri).parent

    def replace(link: re.Match[str]) -> str:
        target = (folder / link[0]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            raise PluginError(f"{page.file.src_uri}: there is no {link[0]}")
        kind = "tree" if target.is_dir() else "blob"
        return f"{config.extra['repository']}/{kind}/main/{target.relative_to(docs.parent).as_posix()}"

    return LINK.sub(replace, markdown)
