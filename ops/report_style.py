"""How a report looks and the little that moves in it."""

STYLE = """
:root{--paper:#f8f6f1;--ink:#1e1b17;--soft:#7b746b;--line:#dfdad0;--card:#fffdf9;--honest:#b24f27;--natural:#23715f;
--serif:"Iowan Old Style","Palatino Linotype",Palatino,"Book Antiqua",Georgia,serif;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
@media (prefers-color-scheme:dark){:root{--paper:#141210;--ink:#ede8e0;--soft:#978f85;--line:#302c28;--card:#1c1917;
--honest:#e69066;--natural:#6cc3ad}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 var(--sans);-webkit-font-smoothing:antialiased}
main{max-width:62rem;margin:0 auto;padding:clamp(1.5rem,5vw,4.5rem) clamp(1.1rem,4vw,2.5rem) 4rem}
.mark{margin:0 0 .9rem;color:var(--soft);font-size:.82rem;letter-spacing:.04em}
.mark i{font-style:normal}.mark i::before{content:"/";margin:0 .35em;opacity:.5}
h1{margin:0;font:400 clamp(2.3rem,7vw,4.2rem)/1.08 var(--serif);letter-spacing:-.015em;text-wrap:balance;overflow-wrap:anywhere}
h1 i,.gallery i{font-style:normal;color:var(--soft);opacity:.75}
section{margin-top:clamp(2.6rem,6vw,4.2rem);padding-top:1.1rem;border-top:1px solid var(--line)}
h2{margin:0 0 1.3rem;font:400 1.55rem/1.3 var(--serif)}
h3{margin:0 0 .5rem;font:600 1rem/1.4 var(--sans);display:flex;justify-content:space-between;align-items:baseline}
.honest{color:var(--honest)}.natural{color:var(--natural)}
data{font-variant-numeric:tabular-nums;color:var(--soft);font-weight:400}
.phrase{margin:0 0 1.4rem;font:italic 400 clamp(1.6rem,4.2vw,2.5rem)/1.25 var(--serif);text-wrap:balance}
.phrase:has(+.grown){margin-bottom:.5rem}.grown{margin:0 0 1.4rem;color:var(--soft);font-size:.9rem}.grown i{opacity:.7}
.words{list-style:none;margin:0;padding:0;font-size:.9rem}
.words li{display:grid;grid-template-columns:minmax(0,1fr) 4.5rem 2.4rem;gap:.7rem;align-items:center;padding:.16rem 0}
.words span{overflow-wrap:anywhere}.words data{text-align:right}
.text .words{columns:2 18rem;column-gap:3rem}.text .words li{break-inside:avoid}
meter{width:100%;height:3px;appearance:none;-webkit-appearance:none;background:var(--line);border:0;border-radius:2px}
meter::-webkit-meter-bar{height:3px;background:var(--line);border:0;border-radius:2px}
meter::-webkit-meter-optimum-value{background:currentColor;border-radius:2px}
meter::-moz-meter-bar{background:currentColor;border-radius:2px}
.pair{display:grid;grid-template-columns:minmax(0,27rem) minmax(0,1fr);gap:clamp(1.4rem,4vw,3rem);align-items:start}
.sides{display:grid;grid-template-columns:1fr 1fr;gap:1.8rem}
.sides .words li{grid-template-columns:minmax(0,1fr) 2.2rem 2.2rem;gap:.5rem}
@media (max-width:46rem){.pair{grid-template-columns:minmax(0,1fr)}}
@media (max-width:30rem){.sides{grid-template-columns:1fr}}
.compare{--at:50%;position:relative;display:grid;aspect-ratio:1;overflow:hidden;border-radius:6px;background:var(--card);
box-shadow:0 0 0 1px var(--line)}
.compare>img,.compare>video,.compare>input{grid-area:1/1;width:100%;height:100%;display:block;object-fit:cover;min-width:0;min-height:0}
.compare>.honest+.natural{clip-path:inset(0 0 0 var(--at))}
.handle{position:absolute;inset:0 auto 0 var(--at);width:2px;margin-left:-1px;background:#fff;box-shadow:0 0 6px #0008;pointer-events:none}
.handle::after{content:"";position:absolute;top:50%;left:50%;width:2.2rem;height:2.2rem;margin:-1.1rem;border-radius:50%;
background:#fff url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='%23222' stroke-width='2' stroke-linecap='round' stroke-linejoin='round'%3E%3Cpath d='M9 7l-5 5 5 5M15 7l5 5-5 5'/%3E%3C/svg%3E") center/62% no-repeat;
box-shadow:0 1px 5px #0006}
.compare>input{opacity:0;margin:0;cursor:ew-resize;touch-action:pan-y;-webkit-appearance:none;appearance:none}
.compare>input::-webkit-slider-thumb{-webkit-appearance:none;width:1px;height:100%}
.compare>input::-moz-range-thumb{width:1px;height:100%;border:0}
.compare:focus-within{box-shadow:0 0 0 1px var(--line),0 0 0 4px color-mix(in srgb,var(--natural) 55%,transparent)}
.ends{display:flex;justify-content:space-between;align-items:center;margin:.6rem 0 0;font-size:.9rem}
button{font:inherit;font-size:.82rem;color:var(--soft);background:none;border:1px solid var(--line);border-radius:99px;padding:.1rem .8rem;cursor:pointer}
button:hover{color:var(--ink)}
:focus-visible{outline:2px solid var(--natural);outline-offset:3px}
.compare>input:focus-visible{outline:0}
.chart{margin:1.6rem 0 0}.chart figcaption{color:var(--soft);font-size:.82rem;margin-bottom:.3rem}
.curves{display:block;width:100%;height:auto;font:11px var(--sans);fill:var(--soft)}
.curves .grid{stroke:var(--line)}
.curves polyline{fill:none;stroke:currentColor;stroke-width:1.6;stroke-linejoin:round}
.curves text.honest,.curves text.natural{fill:currentColor;font-weight:600}
.instruments,.read{width:100%;margin:1.5rem 0 0;border-collapse:collapse;font-size:.82rem;font-variant-numeric:tabular-nums}
.instruments th,.instruments td,.read th,.read td{padding:.22rem 0;border-bottom:1px solid var(--line);text-align:right;font-weight:400;white-space:nowrap}
.instruments th[scope=row],.read th[scope=row]{text-align:left;color:var(--soft);white-space:normal}
.instruments th[scope=col],.read th[scope=col]{font-weight:600;padding-left:.8rem}
.read thead td{text-align:left;color:var(--soft)}.together h3{margin-top:1.2rem}
.alarms{list-style:none;margin:.9rem 0 0;padding:0;font-size:.82rem;line-height:1.45}
.alarms li{margin:.35rem 0}.alarms b{font-weight:600}.alarms b::after{content:":"}
.strip{list-style:none;margin:1.3rem 0 0;padding:0;display:grid;grid-template-columns:repeat(8,minmax(0,1fr));gap:.55rem;font-size:.78rem;line-height:1.3}
.strip+.strip{margin-top:.9rem}.seeds{margin:1.3rem 0 0}.seeds+.strip{margin-top:.5rem}
.strip img{display:block;width:100%;aspect-ratio:1;object-fit:cover;border-radius:3px;margin-bottom:.3rem}
.strip li{min-width:0}.strip span{display:block;overflow-wrap:anywhere}
@media (max-width:46rem){.strip{grid-template-columns:repeat(4,minmax(0,1fr))}}
.player{margin:0 0 1.5rem}.player figcaption{font-weight:600;margin:.5rem 0 .3rem}
.spectrogram{--play:0;position:relative;border-radius:6px;overflow:hidden}
.spectrogram img{display:block;width:100%;height:9.5rem;object-fit:fill;image-rendering:auto}
.spectrogram::after{content:"";position:absolute;inset:0 auto 0 calc(var(--play)*100%);width:1.5px;background:#fff;opacity:var(--on,0)}
audio{width:100%;height:2.3rem;display:block}
.verdicts{margin:0 0 1.6rem}.verdict{margin:0 0 .8rem;max-width:46rem;font-size:.9rem;color:var(--soft)}
.verdict b{display:inline-block;margin-right:.4rem;padding:.1rem .7rem;border-radius:99px;color:var(--paper);background:var(--soft);font-weight:600}
.verdict.recognised b,.verdict.succeeded b{background:#2e7d4f}.verdict.partly b{background:#a8741a}
.verdict.not-recognised b,.verdict.failed b{background:#b3372f}
@media (prefers-color-scheme:dark){.verdict.recognised b,.verdict.succeeded b{background:#6cc38d}.verdict.partly b{background:#dcae5c}
.verdict.not-recognised b,.verdict.failed b{background:#e6837c}}
.maps{list-style:none;margin:0 0 1.6rem;padding:0;display:grid;grid-template-columns:1fr 1fr;gap:.9rem;font-size:.82rem;line-height:1.35}
.maps img{display:block;width:100%;border-radius:3px;margin-bottom:.3rem}.maps span,.maps data{display:block;overflow-wrap:anywhere}
.maps b{font-weight:600}.stage h3{margin-top:1.8rem}.stage h3 data{font-size:.82rem}
.readings{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr));gap:0 2.5rem;align-items:start;margin:.4rem 0 0}
.warning{margin:.8rem 0 0;color:var(--soft);font-size:.82rem;line-height:1.45}.readings .warning{grid-column:1/-1}
.search{margin:-.9rem 0 1.4rem;padding-left:1.4rem;color:var(--soft);font-size:.9rem}.search data{opacity:.75}
.files{margin:.7rem 0 0;font-size:.82rem;display:flex;gap:1rem;flex-wrap:wrap}.files a{color:var(--soft)}
.together .sides>div{min-width:0;overflow-x:auto}
.gallery{list-style:none;margin:2.6rem 0 0;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:2rem 1.5rem}
.gallery a{color:inherit;text-decoration:none;display:block}
.gallery img,.gallery .blank{display:block;width:100%;aspect-ratio:1;border-radius:6px;background:var(--card);box-shadow:0 0 0 1px var(--line);margin-bottom:.7rem}
.gallery b{display:block;font:400 1.25rem/1.25 var(--serif);overflow-wrap:anywhere}
.gallery small{color:var(--soft);font-style:italic}
.gallery a:hover b{text-decoration:underline;text-decoration-thickness:1px;text-underline-offset:.2em}
footer{margin-top:4rem;padding-top:1.1rem;border-top:1px solid var(--line);color:var(--soft);font-size:.9rem}
footer p{max-width:44rem;margin:0 0 1.4rem}footer a{color:var(--ink)}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.15rem 1.6rem;margin:0}
dd{margin:0;color:var(--ink);overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
"""

SCRIPT = """
for (const box of document.querySelectorAll('.compare')) {
  const range = box.querySelector('input');
  if (range) range.addEventListener('input', () => box.style.setProperty('--at', range.value + '%'));
  const films = [...box.querySelectorAll('video')];
  const [lead, second] = films;
  if (second) lead.addEventListener('timeupdate', () => {
    if (Math.abs(second.currentTime - lead.currentTime) > 0.1) second.currentTime = lead.currentTime;
  });
  const button = box.parentElement.querySelector('.pause');
  const play = on => {
    films.forEach(film => on ? film.play() : film.pause());
    button.textContent = on ? 'pause' : 'play';
    button.setAttribute('aria-pressed', String(!on));
  };
  if (button) button.addEventListener('click', () => play(lead.paused));
  if (button && matchMedia('(prefers-reduced-motion: reduce)').matches) play(false);
}
for (const figure of document.querySelectorAll('.player')) {
  const sound = figure.querySelector('audio'), shown = figure.querySelector('.spectrogram');
  const mark = () => {
    shown.style.setProperty('--play', sound.currentTime / (sound.duration || 1));
    shown.style.setProperty('--on', sound.paused ? 0 : 0.9);
    if (!sound.paused) requestAnimationFrame(mark);
  };
  for (const event of ['play', 'pause', 'ended', 'seeked']) sound.addEventListener(event, mark);
}
"""
