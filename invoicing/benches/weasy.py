"""Typesets the invoices of a folder (n.json with n.xml) by WeasyPrint and prints how many it made a second, warm.

In: documents as `Invoice::to_json` writes them. The clock runs from HTML in memory to PDF bytes in memory; the stylesheet
and the fonts are read once, before.
"""

import html
import json
import pathlib
import sys
import time

from weasyprint import CSS, HTML, Attachment
from weasyprint.text.fonts import FontConfiguration

STYLE = """
@page { size: A4; margin: 27mm 20mm 36mm 25mm;
  @bottom-right { content: "Page " counter(page) " of " counter(pages); font-size: 8pt; color: #5a5a5a } }
body { font: 10pt "Libertinus Serif", "DejaVu Serif", serif; font-variant-numeric: tabular-nums }
h1 { font-size: 17pt; color: #1d3c5c } h2 { font-size: 11pt; color: #1d3c5c }
table { width: 100%; border-collapse: collapse; margin-top: 4mm }
th { background: #1d3c5c; color: white; text-align: left; padding: 4pt 5pt }
td { border-bottom: 0.4pt solid #d7d7d7; padding: 4pt 5pt } tr { break-inside: avoid }
td:nth-last-child(-n+2), th:nth-last-child(-n+2) { text-align: right }
.calls { font-size: 8pt } .calls td, .calls th { padding: 2.4pt 4pt }
.payment { background: #f6f6f6; border-left: 2.5pt solid #1d3c5c; padding: 9pt; margin-top: 8mm }
"""


def row(cells, tag="td"):
    return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"


def table(head, rows, name=""):
    body = "".join(row(cells) for cells in rows)
    return f'<table class="{name}"><thead>{row(head, "th")}</thead><tbody>{body}</tbody></table>'


def party(contact):
    address = contact["address"]
    lines = [contact["name"], *address["street"].splitlines(), f'{address["postcode"]} {address["city"]}']
    return "<p>" + "<br>".join(html.escape(line) for line in lines) + "</p>"


def line(item):
    of = item["item"]
    name = " · ".join(part for part in (of.get("name") or of.get("zone", ""), of.get("zone_detail", "")) if part)
    seconds = of.get("billed_seconds", 0)
    length = f"{seconds // 60}:{seconds % 60:02}" if seconds else ""
    return (name, of.get("calls", of.get("quantity", "")), length, item["vat_percent"], item["net"])


def page(invoice):
    totals = invoice["totals"]
    title = f'Invoice {invoice["number"]}'
    parts = [
        party(invoice["issuer"]), party(invoice["customer"]), f"<h1>{title}</h1>",
        table(("Description", "Quantity", "Minutes", "VAT", "Net"), map(line, invoice["lines"])),
        table(("VAT rate", "Net", "VAT"), ((rate["percent"], rate["net"], rate["vat"]) for rate in invoice["vat"])),
        f'<p class="payment">Please pay <b>{invoice["currency"]} {totals["gross"]}</b> by {invoice["due_date"]}.</p>',
    ]
    if calls := invoice.get("calls"):
        rows = ((call["at"], call["to"], call["zone"], call["seconds"], call["cost"]) for call in calls)
        parts += ["<h2>Call list</h2>", table(("Start", "Number called", "Zone", "Length", "EUR"), rows, "calls")]
    return f'<html lang="en"><head><title>{title}</title></head><body>{"".join(parts)}</body></html>'


def main():
    folder = pathlib.Path(sys.argv[1])
    fonts = FontConfiguration()
    style = CSS(string=STYLE, font_config=fonts)
    documents = [
        (page(json.loads(path.read_text())), path.with_suffix(".xml").read_bytes())
        for path in sorted(folder.glob("*.json"))
    ]

    def write(document):
        text, xml = document
        attached = Attachment(string=xml, name="factur-x.xml", relationship="Alternative")
        return HTML(string=text).write_pdf(
            stylesheets=[style], font_config=fonts, pdf_variant="pdf/a-3b", attachments=[attached])

    warm, measured = documents[:2], documents[2:]
    for document in warm:
        (folder / "last.pdf").write_bytes(write(document))
    began = time.perf_counter()
    for document in measured:
        write(document)
    print(len(measured) / (time.perf_counter() - began))


main()
