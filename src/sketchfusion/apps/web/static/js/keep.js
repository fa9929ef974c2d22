// What a tab keeps for its next visit. A tab has its own; a new one begins with what was kept last in any of them.

const stores = () => [sessionStorage, localStorage];

/** What was kept under a name, by this tab or else by the last one that kept something; null where there is none. */
export function kept(name) {
  try {
    return stores().map((store) => store.getItem(name)).find((text) => text !== null) ?? null;
  } catch {
    return null; // no storage allowed
  }
}

/** Keep a text under a name. Where there is no room for it, nothing older takes its place. */
export function keep(name, text) {
  try {
    for (const store of stores()) put(store, name, text);
  } catch {
    // no storage allowed: it lives as long as the page
  }
}

function put(store, name, text) {
  try {
    store.setItem(name, text);
  } catch {
    store.removeItem(name);
  }
}
