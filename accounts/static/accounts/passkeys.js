// A passkey was made: go on to where the server says, which is a page of this host.
document.addEventListener("otp_webauthn.register_complete", (event) => {
  const next = new URL(event.detail.response.next, location.origin);
  if (next.origin === location.origin) location.assign(next);
});
