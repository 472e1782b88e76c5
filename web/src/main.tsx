import "@fontsource-variable/instrument-sans/index.css";
import "@fontsource-variable/besley/index.css";
import "@fontsource/commit-mono/latin-400.css";
import "./styles/tokens.css";
import "./styles/base.css";

import { createRoot } from "react-dom/client";
import { App } from "./app/App";
import { applyStoredTheme } from "./app/theme";

// Signed addresses of the embedded store name 127.0.0.1; to a page at localhost they would be another origin, which
// the content security policy forbids. It is the same machine under its other name.
if (location.hostname === "localhost" && !import.meta.env.DEV) {
  location.replace(location.href.replace("//localhost", "//127.0.0.1"));
} else {
  applyStoredTheme();
  const root = document.getElementById("root");
  if (root) createRoot(root).render(<App />);
}
