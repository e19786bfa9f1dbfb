"""How the page looks: light and dark, on paper, and on a narrow screen."""

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark;
  --paper: #fbfaf7; --ink: #23262b; --faint: #63666d; --rule: #dedbd3; --card: #ffffff;
  --clear: #8a5a00; --clear-paper: #fff4dc; --private: #13693a; --private-paper: #e4f4ea;
  --bad: #a4161a; --bad-paper: #fde7e6; --decision: #6b2d8c; --decision-paper: #f4eaf9;
  --missing: #7a5200; --missing-paper: #fff0c2; --ours: #44546a; --secret: #b3261e; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171b; --ink: #e6e3dc; --faint: #9aa0a8; --rule: #31363d; --card: #1b1f24;
  --clear: #e9b44c; --clear-paper: #2e2614; --private: #6fcf97; --private-paper: #15291e;
  --bad: #ff8a80; --bad-paper: #3a1a1a; --decision: #d3a4ea; --decision-paper: #2a1c33;
  --missing: #f2cc60; --missing-paper: #332a0f; --ours: #a9b8cc; --secret: #ff9d94; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 1.5rem; font-weight: 650; }
h2 { font-size: 1.15rem; margin: 0 0 .75rem; font-weight: 650; }
a { color: inherit; }
section { margin: 0 0 3.5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: 0 0 1.25rem;
  font-size: .92rem; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
dd.missing { color: var(--missing); font-weight: 600; }
nav ul { list-style: none; padding: 0; margin: 0 0 2.5rem; border-top: 1px solid var(--rule); }
nav li { border-bottom: 1px solid var(--rule); padding: .35rem .25rem; font-size: .92rem; overflow-wrap: anywhere; }
table { width: 100%; table-layout: fixed; border-collapse: separate; border-spacing: 0; background: var(--card);
  border: 1px solid var(--rule); border-radius: .6rem; overflow: hidden; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
thead th { text-align: left; font-size: .82rem; color: var(--faint); font-weight: 600; padding: .6rem .75rem;
  border-bottom: 1px solid var(--rule); }
th.time { width: 7.5rem; } th.way { width: 6.75rem; }
tbody th, tbody td { padding: .18rem .75rem; vertical-align: top; text-align: left; }
tbody th { font: .8rem/1.6rem ui-monospace, "DejaVu Sans Mono", Menlo, monospace; color: var(--faint);
  text-align: right;  white-space: nowrap; font-weight: 400; }
tbody td { overflow-wrap: anywhere; }
tbody tr:first-child > * { padding-top: .55rem; } tbody tr:last-child > * { padding-bottom: .55rem; }
td.server { border-left: 1px solid var(--rule); }
td.way { font-size: .72rem; line-height: 1.6rem; padding-left: .5rem; padding-right: 0; white-space: nowrap; }
.clear td.way { color: var(--clear); } .private td.way { color: var(--private); }
.clear th { box-shadow: inset 4px 0 var(--clear); } .private th { box-shadow: inset 4px 0 var(--private); }
code, pre { font: .86rem/1.6rem ui-monospace, "DejaVu Sans Mono", Menlo, monospace; margin: 0; white-space: pre-wrap;
  overflow-wrap: anywhere; }
pre { border-left: 3px solid var(--rule); padding-left: .75rem; margin: .3rem 0; color: var(--ours);
  line-height: 1.35rem; }
.note { font-size: .84rem; color: var(--ours); font-style: italic; } .note[title] { cursor: help; }
.mask { color: var(--secret); font-weight: 700; }
.silent { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
tr.across > td { padding: .45rem .75rem; border: 0; }
tr.across p { margin: 0; font-weight: 600; font-size: .92rem; overflow-wrap: anywhere; }
tr.across ul { margin: .1rem 0 0; padding: 0; list-style: none; font-size: .86rem; }
tr.upgrade > * { background: var(--private-paper); color: var(--private);
  border-top: 2px solid var(--private) !important; border-bottom: 2px solid var(--private) !important; }
tr.backend > * { background: var(--private-paper); color: var(--private); }
tr.failed > * { background: var(--bad-paper); color: var(--bad); }
tr.decision > * { background: var(--decision-paper); color: var(--decision); }
tr.blind > *, tr.missing > *, tr.unproved > * { background: var(--missing-paper); color: var(--missing); }
tr.end > * { color: var(--faint); border-top: 1px solid var(--rule) !important; }
footer { color: var(--faint); font-size: .82rem; }
@media (max-width: 46rem) {
  body { padding: 1rem .6rem 3rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .35rem; }
  table, tbody { display: block; width: auto; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { display: flex; flex-wrap: wrap; column-gap: .75rem; padding: .3rem .6rem; }
  tbody tr[class] > * { padding: 0 !important; border: 0 !important; }
  tbody th { text-align: left; font-size: .72rem; line-height: 1.2rem; }
  .clear th, .private th { box-shadow: none; }
  td.way { order: 1; line-height: 1.2rem; } td.client, td.server, tr.across > td { order: 2; flex: 0 0 100%; }
  td:empty { display: none; }
  .clear { border-left: 4px solid var(--clear); } .private { border-left: 4px solid var(--private); }
  td.client::before { content: "client "; } td.server::before { content: "server "; }
  td.client::before, td.server::before { font-size: .72rem; color: var(--faint); }
  tbody tr[class] > td.server { padding-left: 1.75rem !important; }
  tr.upgrade, tr.backend { background: var(--private-paper); } tr.failed { background: var(--bad-paper); }
  tr.decision { background: var(--decision-paper); }
  tr.blind, tr.missing, tr.unproved { background: var(--missing-paper); }
}
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --faint: #444; --rule: #999; --clear: #6b4500; --private: #0b4f2a;
    --ours: #333; --bad: #8b0000; --decision: #4b1f66; --missing: #5c3d00; --secret: #8b0000;
    --clear-paper: #fff; --private-paper: #fff; --bad-paper: #fff; --decision-paper: #fff; --missing-paper: #fff; }
  body { max-width: none; padding: 0; font-size: 11pt; }
  table { border-radius: 0; overflow: visible; } thead { display: table-header-group; } tr { break-inside: avoid; }
  section + section { break-before: page; } nav { display: none; }
}
"""
