import { expect, test } from "vitest";
import { throughThisPage } from "./upload";

test.each([
  [
    "http://127.0.0.1:8080/v1/objects/uploads/a/b?expires=1&signature=x",
    "/v1/objects/uploads/a/b?expires=1&signature=x",
  ],
  ["https://bucket.store.example/a/b?X-Amz-Signature=x", "https://bucket.store.example/a/b?X-Amz-Signature=x"],
])("%s is sent to %s", (address, expected) => expect(throughThisPage(address)).toBe(expected));
