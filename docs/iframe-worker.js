/* Search on pages opened from disk: browsers start no worker there, so its script runs in a hidden frame instead. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.ready = new Promise((resolve, reject) => {
        const frame = document.createElement("iframe")
        frame.hidden = true
        frame.addEventListener("load", () => resolve(this.start(frame.contentWindow, url, reject)), { once: true })
        document.body.append(frame)
      })
    }
    start(inner, url, reject) {
      inner.postMessage = data => setTimeout(() => this.dispatchEvent(new MessageEvent("message", { data })))
      inner.importScripts = () => Promise.resolve() // stemmers of languages other than English
      return new Promise(resolve => {
        const script = inner.document.createElement("script")
        script.onload = () => resolve(inner)
        script.onerror = reject
        script.src = url
        inner.document.body.append(script)
      })
    }
    postMessage(data) {
      this.ready.then(inner => inner.dispatchEvent(new inner.MessageEvent("message", { data })))
    }
    terminate() {}
  }
}
