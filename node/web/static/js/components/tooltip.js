// Full values on hover and on focus: one element, placed by script, so that no scrolling container cuts it off.

export function start() {
  const tip = document.getElementById("tip");
  let owner = null;

  const show = (target) => {
    owner = target;
    // An open dialog lies above everything else of the page, so the tip moves into it.
    (target.closest("dialog") ?? document.body).append(tip);
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    const at = target.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const left = Math.max(8, Math.min(at.left, innerWidth - size.width - 8));
    const above = at.top - size.height - 6;
    tip.style.setProperty("left", `${left}px`);
    tip.style.setProperty("top", `${above > 8 ? above : at.bottom + 6}px`);
  };
  const hide = () => {
    owner = null;
    tip.hidden = true;
  };

  for (const [enter, leave] of [
    ["pointerover", "pointerout"],
    ["focusin", "focusout"],
  ]) {
    document.addEventListener(enter, (event) => {
      const target = event.target.closest?.("[data-tip]");
      if (target) show(target);
    });
    document.addEventListener(leave, (event) => {
      if (owner && event.target.closest?.("[data-tip]") === owner) hide();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  addEventListener("scroll", hide, { capture: true, passive: true });
}
