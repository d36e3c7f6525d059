// Presses the button of a cookie banner that accepts. Returns its text, null when there is no banner.
// Known consent managers by their ids, others by words: a box above the page that speaks of cookies or consent.
() => {
  const KNOWN = [
    "#onetrust-accept-btn-handler", "#CybotCookiebotDialogBodyLevelButtonLevelOptinAllowAll", "#CybotCookiebotDialogBodyButtonAccept",
    "#didomi-notice-agree-button", "#truste-consent-button", "#axeptio_btn_acceptAll", "#hs-eu-confirmation-button",
    "#cookiescript_accept", "#tarteaucitronPersonalize2", "#ppms_cm_agree-to-all", "#cmpwelcomebtnyes a", "#cmpbntyestxt",
    ".qc-cmp2-summary-buttons button[mode=primary]", ".fc-cta-consent", ".cmpboxbtnyes", ".iubenda-cs-accept-btn",
    ".osano-cm-accept-all", ".cky-btn-accept", ".cmplz-accept", ".cc-allow", ".cc-btn.cc-dismiss", ".cm-btn-accept-all",
    "._brlbs-btn-accept-all", "[data-testid=uc-accept-all-button]", "[data-cookiefirst-action=accept]", ".js-accept-cookies",
  ].join(",");
  const SUBJECT = /cookie|consent|gdpr|dsgvo|rgpd|datenschutz|privacy|confidentialit|privacidad|privacidade|galletas|evästeet|informasjonskapsler|ciasteczk|soubory cookie|süti|çerez|файл|クッキー|同意/i;
  const ACCEPT = /^(?:(?:i |yes,? ?i? ?)?(?:accept|agree|allow|consent)\b|got it|ok(?:ay)?\b|alle[ns]? (?:\S+ )?(?:akzeptieren|zulassen|annehmen)|(?:alle[s]? )?akzeptieren|(?:ich )?(?:stimme|bin einverstanden)|einverstanden|zustimmen|verstanden|tout accepter|(?:j['’])?accepte[rz]?\b|d['’]accord|continuer|acept|aceito|entendido|de acuerdo|vale\b|accett|acconsent|va bene|ho capito|accepteer|akkoord|alles? (?:accepteren|toestaan)|begrepen|godta|godkänn|godkend|acceptera|accepter|tillad|tillat|jeg forstår|hyväksy|akceptuj|zgadzam|zaakceptuj|přijmout|souhlas|prijať|elfogad|accept[aă]|sunt de acord|αποδοχή|αποδέχομαι|συμφωνώ|kabul|принять|приемам|согласен|принимаю|прийняти|同意|受け入れる|接受|동의|모두 허용)/i;
  const REFUSE = /(?:reject|decline|refus|ablehn|nur (?:notwendig|essen)|only (?:necessary|essential)|rechaz|rifiut|weiger|settings|einstellung|manage|customi[sz]e)/i;

  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const text = (element) => (element.innerText || element.value || element.getAttribute("aria-label") || "").trim().replace(/\s+/g, " ");
  const press = (element) => { const said = text(element).slice(0, 60) || "accept"; element.click(); return said; };

  const roots = [document];
  for (const host of document.querySelectorAll("#usercentrics-root, [id*=consent], [id*=cookie], cmm-cookie-banner"))
    if (host.shadowRoot) roots.push(host.shadowRoot);
  for (const root of roots)
    for (const button of root.querySelectorAll(KNOWN)) if (shown(button)) return press(button);

  for (const root of roots)
    for (const button of root.querySelectorAll("button, [role=button], input[type=button], input[type=submit], a")) {
      const said = text(button);
      if (!said || said.length > 40 || !ACCEPT.test(said) || REFUSE.test(said) || !shown(button)) continue;
      // a link that leads elsewhere is no button of a banner
      const href = button.getAttribute("href");
      if (href && !/^(?:#|javascript:)/i.test(href)) continue;
      for (let box = button.parentElement, steps = 0; box && box !== document.body && steps < 8; box = box.parentElement, steps++) {
        const style = getComputedStyle(box);
        const above = style.position === "fixed" || style.position === "sticky" || box.getAttribute("role")?.includes("dialog") ||
          box.tagName === "DIALOG" || /cookie|consent|gdpr|cmp/i.test(`${box.id} ${box.getAttribute("class") ?? ""}`);
        if (above && SUBJECT.test(box.textContent)) return press(button);
      }
    }
  return null;
}
