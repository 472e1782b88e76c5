import { createContext, useContext } from "react";

/** Whether one looks from so far away that words cannot be read. It changes rarely: each node is drawn anew by it. */
const Far = createContext(false);
export const FarProvider = Far.Provider;
export const useFar = (): boolean => useContext(Far);
