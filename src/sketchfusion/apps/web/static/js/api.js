// The server's API, and nothing else: every request of the page goes through here, to this origin.

const BASE = new URL("api/v1/", document.baseURI);

/** What went wrong, in words for the user. `code` is the server's, or "unreachable". */
export class ApiError extends Error {
  constructor(code, message, status = 0, wait = 0) {
    super(message);
    this.code = code;
    this.status = status;
    this.wait = wait;
  }
}

export const isAbort = (error) => error instanceof DOMException && error.name === "AbortError";

/** The address of a resource; query values that are empty are left out. */
export function address(path, query = {}) {
  const url = new URL(path.map(encodeURIComponent).join("/"), BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url.href;
}

async function request(path, { query, signal, method = "GET", body, type } = {}) {
  const options = { method, signal, body, credentials: "same-origin", headers: type ? { "Content-Type": type } : {} };
  let response;
  try {
    response = await fetch(address(path, query), options);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError("unreachable", "The server does not answer. Start it again with “sketchfusion serve”.");
  }
  if (response.ok) return response;
  const wait = Number(response.headers.get("Retry-After")) || 0;
  const said = await response.json().then((content) => content.error, () => null);
  throw new ApiError(said?.code || "unknown", said?.message || `The server answered ${response.status}.`,
    response.status, wait);
}

/** `request`, tried once more where the server says that it is busy. */
async function patient(path, options = {}) {
  try {
    return await request(path, options);
  } catch (error) {
    if (!(error instanceof ApiError) || ![429, 503].includes(error.status) || !error.wait) throw error;
    await pause(Math.min(error.wait, 5) * 1000, options.signal);
    return request(path, options);
  }
}

function pause(milliseconds, signal) {
  return new Promise((done, fail) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      fail(new DOMException("stopped", "AbortError"));
    }, { once: true });
  });
}

export const getJson = async (path, query, signal) => (await patient(path, { query, signal })).json();
export const getBlob = async (path, query, signal) => (await patient(path, { query, signal })).blob();

export async function sendJson(path, content, { method = "POST", signal } = {}) {
  const body = content === undefined ? undefined : JSON.stringify(content);
  const response = await patient(path, { method, body, type: body && "application/json", signal });
  return response.status === 204 ? {} : response.json().catch(() => ({}));
}

export const sendSketch = async (blob, signal) =>
  (await patient(["sketches"], { method: "POST", body: blob, type: "image/png", signal })).json();

export const thumbnail = (gallery, photo) => address(["galleries", gallery, "photos", photo, "thumbnail"]);
export const picture = (gallery, photo, side) => address(["galleries", gallery, "photos", photo, "picture"], { side });
export const original = (gallery, photo) => address(["galleries", gallery, "photos", photo, "original"]);
