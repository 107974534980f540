/** The style of the HTML report.  Series colours are Okabe and Ito's (2008), which colour-blind readers can tell apart. */

export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #ffffff; --ink: #1b1f24; --faint: #5b6570; --line: #d8dee4; --card: #f6f8fa;
  --good: #0a7d4f; --bad: #b42318;
  --series-1: #0072b2; --series-2: #d55e00; --series-3: #009e73;
  --series-4: #b0569a; --series-5: #a67c00; --series-6: #56a5d8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --ink: #e6e9ec; --faint: #9aa5b1; --line: #343b43; --card: #1c2127;
    --good: #4cc38a; --bad: #ff8a7a;
    --series-1: #5fb0e6; --series-2: #f0904d; --series-3: #35c49b;
    --series-4: #dd94c8; --series-5: #e3b93c; --series-6: #a8d5f2;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 76rem;
  background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
}
h1 { margin: 0 0 .25rem; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 2.75rem 0 .25rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: 1.3rem; }
h3 { margin: 1.5rem 0 .5rem; font-size: 1rem; }
p { margin: .25rem 0; max-width: 60rem; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
.faint, .notes, figcaption { color: var(--faint); }
.notes { font-size: .85rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1rem; margin: 1rem 0; }
figure { margin: 0; padding: .75rem 1rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
figure svg { display: block; width: 100%; height: auto; --page: var(--card); }
figcaption { margin-bottom: .25rem; font-size: .9rem; }
.timeline { width: 100%; height: auto; min-width: 48rem; font-size: 11px; fill: currentColor; background: var(--card); border-radius: .5rem; padding: .5rem; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .5rem 0; padding: 0; list-style: none; font-size: .9rem; }
.legend i { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; border-radius: 50%; vertical-align: -.05rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 600; }
th:first-child, td:first-child, .text th, .text td { text-align: left; }
tr.dimmed td { color: var(--faint); font-style: italic; }
.faster { color: var(--good); font-weight: 600; }
.slower, .fault { color: var(--bad); font-weight: 600; }
.fault pre { white-space: pre-wrap; font-weight: 400; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--faint); }
@media print { body { max-width: none; } figure { break-inside: avoid; } }
`;
