import "@fontsource-variable/instrument-sans/index.css";
import "@fontsource-variable/besley/index.css";
import "@fontsource/commit-mono/latin-400.css";
import "./styles/tokens.css";
import "./styles/base.css";

import { createRoot } from "react-dom/client";
import { App } from "./app/App";
import { applyStoredTheme } from "./app/theme";

applyStoredTheme();
const root = document.getElementById("root");
if (root) createRoot(root).render(<App />);
