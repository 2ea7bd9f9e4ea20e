"""Walks of people who sign in: with a second factor, letting others in, from outside the house; and what finance does with balances."""

import base64
import hmac
import json
import struct
import time
import urllib.error
import urllib.request

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from hand import calm, find, go, leads_on, sign_in, sign_out, text, until


class Generator:
    """An authenticator on a telephone (RFC 6238). Each of its codes opens once, so it gives the next step's before its time: the
    console bears with a clock half a minute off, and nobody has to wait for most of them."""

    def __init__(self, secret):
        self.key = base64.b32decode(secret)
        self.last = 0

    def of(self, step):
        digest = hmac.digest(self.key, struct.pack(">Q", step), "sha1")
        at = digest[-1] & 0xF
        return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"

    def code(self):
        now = int(time.time()) // 30
        self.last = max(now - 1 if time.time() % 30 < 20 else now, self.last + 1)
        while int(time.time()) // 30 < self.last - 1:
            time.sleep(0.2)
        return self.of(self.last)

    def wrong(self):
        """None of the codes that would be borne with."""
        now = int(time.time()) // 30
        near = {self.of(step) for step in range(now - 3, now + 4)}
        return next(code for code in (f"{n:06}" for n in range(100_000, 200_000)) if code not in near)


def box(driver, name, within=""):
    return driver.find_element(By.CSS_SELECTOR, f"{within} [name={name}]")


def fill(driver, within, **fields):
    for name, words in fields.items():
        field = box(driver, name, within)
        if field.tag_name == "select":
            Select(field).select_by_visible_text(words)
        else:
            field.clear()
            field.send_keys(words)


def send(driver, within):
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, f"{within} button").click)


def says(driver, *words):
    seen = text(driver)
    for word in words:
        assert word in seen, f"{driver.current_url} does not say {word!r}:\n{seen}"


def give(driver, code):
    """A code, and Enter."""
    field = driver.switch_to.active_element
    assert field.get_attribute("name") == "code", "the field of the code is not ready to be typed in"
    field.clear()
    leads_on(driver, lambda: field.send_keys(code, Keys.ENTER))


def asked(url, token):
    """What the API says to the program with this token."""
    request = urllib.request.Request(f"{url}/api/v1/accounts", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def taken(folder, suffix):
    """The file that the browser has put into its folder."""
    until_there = time.monotonic() + 60
    while time.monotonic() < until_there:
        found = [it for it in folder.glob(f"*{suffix}") if it.stat().st_size]
        if found:
            content = found[0].read_bytes()
            found[0].unlink()
            return found[0].name, content
        time.sleep(0.1)
    raise AssertionError(f"no {suffix} has come down: {list(folder.glob('*'))}")


def search(driver, url, account):
    """Anything by its name, from any page, without touching the mouse."""
    go(driver, url, "/health")
    find(driver, "huber")
    until(driver, "what is like it", lambda: "/search?q=huber" in driver.current_url)
    says(driver, "accounts", account, "subscribers", "huber@sip.meridian.example")
    calm(driver, "search")
    find(driver, "+43 (512) 900-100")
    until(driver, "a number and its calls", lambda: "numbers" in text(driver) and "4930555123, ok" in text(driver))
    calm(driver, "search for a number")
    find(driver, "0512 900 100")
    until(driver, "the only holder", lambda: driver.current_url == f"{url}/provisioning/subscribers/huber%40sip.meridian.example")
    find(driver, "no-such-thing-anywhere")
    until(driver, "nothing", lambda: "Nothing is called like this" in text(driver))
    calm(driver, "search without a hit")
    find(driver, "x")
    until(driver, "too short", lambda: "2 to 200 letters" in text(driver))
    calm(driver, "search for one letter", refused=422)
    field = box(driver, "q", "main")
    assert field.get_attribute("value") == "x"
    field.clear()
    leads_on(driver, lambda: field.send_keys("ada", Keys.ENTER))
    until(driver, "a user", lambda: "users" in text(driver) and "operator" in text(driver))


def money(driver, url, account, folder):
    """A payment taken to an account's balance, and the statement that shows it."""
    go(driver, url, f"/accounts/{account}")
    leads_on(driver, driver.find_element(By.LINK_TEXT, "Interval, top-ups and statement").click)
    says(driver, "What there is", "Own money", "Top up by hand")
    calm(driver, "money")
    form = f"form[action='/accounts/{account}/money']"

    def balance():
        return driver.find_element(By.ID, "balance").text

    before = balance()
    fill(driver, form, value="a lot", reason="paid at the counter")
    send(driver, form)
    says(driver, "a lot")
    assert box(driver, "reason", form).get_attribute("value") == "paid at the counter", "what was typed is gone"
    assert balance() == before
    calm(driver, "a top-up refused", refused=422)
    fill(driver, form, value="no-such-code", kind="the code of a voucher")
    send(driver, form)
    calm(driver, "a voucher refused", refused=422)
    assert balance() == before
    fill(driver, form, kind="money that was paid", value="12.50", reason="paid at the counter")
    send(driver, form)
    says(driver, "12.50 EUR is on its way to the balance.", "paid at the counter")
    calm(driver, "topped up")

    def has_come():
        driver.get(f"{url}/accounts/{account}/money")
        return balance() != before

    until(driver, "the balance has it", has_come)
    was, now = (round(float(it.split()[0]) * 1_000_000) for it in (before, balance()))
    assert now - was == 12_500_000, f"{before} and 12.50 are {balance()}"
    calm(driver, "a balance with money")

    driver.find_element(By.CSS_SELECTOR, "form[action$='/statement'] button[value=csv]").click()
    name, csv = taken(folder, ".csv")
    assert account in name and b"12.5" in csv, (name, csv[-500:])
    driver.find_element(By.CSS_SELECTOR, "form[action$='/statement'] button[value=pdf]").click()
    name, pdf = taken(folder, ".pdf")
    assert account in name and pdf.startswith(b"%PDF-"), (name, pdf[:20])


def let_in(driver, url, width):
    """People and a program let in, and the program shut out again: their passwords and the token, by what they are for."""
    go(driver, url, "/access", "Users", "Tokens of programs")
    made = {}

    def user(role, **fields):
        name = f"{role}-{width}"
        fill(driver, "#new-user", name=name, role=role, **fields)
        send(driver, "#new-user")
        says(driver, f"Password of {name}, shown this once")
        made[role] = (name, driver.find_element(By.ID, "secret").text)

    fill(driver, "#new-user", name=f"customer-{width}", role="customer", account="", mail="")
    send(driver, "#new-user")
    says(driver, "say which one")
    assert box(driver, "name", "#new-user").get_attribute("value") == f"customer-{width}"
    calm(driver, "a user refused", refused=422)
    user("customer", account="baeckerei-huber", mail="")
    calm(driver, "a user let in")
    user("reseller", account="alpine", mail="")
    user("auditor", account="", mail="")
    user("operator", account="", mail=f"operator-{width}@meridian.example")
    fill(driver, "#new-user", name=f"operator-{width}", role="analyst", account="", mail="")
    send(driver, "#new-user")
    says(driver, "already")
    calm(driver, "a name that is taken", refused=422)

    def token(name):
        fill(driver, "#new-token", name=name, role="finance", days="30")
        send(driver, "#new-token")
        says(driver, f"Token {name}", "shown this once")
        return driver.find_element(By.ID, "secret").text

    fill(driver, "#new-token", name=f"books-{width}", days="many")
    send(driver, "#new-token")
    calm(driver, "a token refused", refused=422)
    secret = token(f"books-{width}")
    calm(driver, "a token made")
    assert asked(url, secret)[0] == 200
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, f"button[aria-label='Take the token books-{width} back']").click)
    says(driver, f"Token books-{width} opens nothing any more.", "taken back")
    assert asked(url, secret)[0] == 401
    calm(driver, "a token taken back")
    go(driver, url, "/access", f"operator-{width}@meridian.example")
    assert secret not in driver.page_source, "the token is shown a second time"
    made["token"] = f"kept-{width}"
    token(made["token"])
    return made


def set_up(driver, says_so):
    """The second factor that the page offers: a wrong code, the right one, and the recovery codes."""
    assert driver.find_element(By.CSS_SELECTOR, ".scan svg").size["width"] > 150, "nothing to be scanned"
    generator = Generator(driver.find_element(By.CSS_SELECTOR, "code.secret").text)
    give(driver, generator.wrong())
    says(driver, "not the code of this half minute")
    calm(driver, f"{says_so}, a wrong code", refused=401)
    give(driver, generator.code())
    says(driver, "not shown again")
    codes = [it.text for it in driver.find_elements(By.CSS_SELECTOR, ".recovery code")]
    assert len(set(codes)) == 10, codes
    calm(driver, f"{says_so}, recovery codes")
    return generator, codes


def password_then_code(driver, url, user, password):
    driver.get(url + "/sign-in")
    driver.find_element(By.NAME, "name").send_keys(user)
    field = driver.find_element(By.NAME, "password")
    leads_on(driver, lambda: field.send_keys(password, Keys.ENTER))
    until(driver, "a code is asked for", lambda: driver.current_url == url + "/sign-in/code")
    # The password alone has opened nothing.
    driver.get(url + "/access")
    assert driver.current_url == url + "/sign-in", driver.current_url
    driver.get(url + "/sign-in/code")


def second_factor(driver, url, user, password, token):
    """From a password alone to an authenticator, a sign-in with it, one without it, and an act that asks for its code."""
    sign_in(driver, url, user, password)
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, ".leave a").click)
    says(driver, "Your password alone opens the console")
    calm(driver, "own sign-in")
    begin = "form:has([value=begin])"
    fill(driver, begin, password="not this one")
    send(driver, begin)
    says(driver, "The password is wrong.")
    calm(driver, "a wrong password", refused=401)
    fill(driver, begin, password=password)
    send(driver, begin)
    calm(driver, "a second factor to be set up")
    generator, codes = set_up(driver, "set up by oneself")
    leads_on(driver, driver.find_element(By.LINK_TEXT, "I have kept them").click)
    says(driver, "In use since", "10 recovery codes are left")
    calm(driver, "a second factor in use")
    sign_out(driver)

    password_then_code(driver, url, user, password)
    calm(driver, "asked for a code")
    # What was used for the setting up opens nothing a second time, to whoever looked over a shoulder.
    give(driver, generator.of(generator.last))
    says(driver, "or it has been used")
    calm(driver, "a code used twice", refused=401)
    give(driver, generator.code())
    until(driver, "signed in with a code", lambda: driver.current_url == url + "/")
    sign_out(driver)

    password_then_code(driver, url, user, password)
    give(driver, codes[0].upper())
    says(driver, "not the code of this half minute")
    calm(driver, "no recovery code", refused=401)
    give(driver, codes[0])
    until(driver, "signed in with a recovery code", lambda: driver.current_url == url + "/me")
    says(driver, "9 recovery codes are left")
    sign_out(driver)
    password_then_code(driver, url, user, password)
    give(driver, codes[0])
    says(driver, "or it has been used")
    driver.get_log("browser")
    give(driver, codes[1])
    until(driver, "signed in with another", lambda: driver.current_url == url + "/me")
    says(driver, "8 recovery codes are left")

    # What lets people in or shuts them out asks for a code of this moment.
    width = driver.execute_script("return innerWidth")
    go(driver, url, "/access", token)
    row = next(row for row in driver.find_elements(By.CSS_SELECTOR, "tbody tr") if f"operator-{width}" in row.text)
    assert "Shut out" not in row.text, "one could shut oneself out"
    fill(driver, "#new-user", name=f"analyst-{width}", role="analyst", account="", mail="", code=generator.wrong())
    send(driver, "#new-user")
    says(driver, "code")
    assert box(driver, "name", "#new-user").get_attribute("value") == f"analyst-{width}", "what was typed is gone"
    driver.get_log("browser")
    fill(driver, "#new-user", code=generator.code())
    send(driver, "#new-user")
    says(driver, f"Password of analyst-{width}")
    calm(driver, "let in with a code")
    go(driver, url, "/access")
    driver.find_element(By.CSS_SELECTOR, f"summary[aria-label^='Shut analyst-{width} out']").click()
    form = f"form:has([value=shut_out]):has(button[value='analyst-{width}'])"
    calm(driver, "about to shut somebody out")
    fill(driver, form, code=generator.code())
    send(driver, form)
    says(driver, f"analyst-{width} is shut out")
    calm(driver, "shut out with a code")

    # And the password can be another one.
    go(driver, url, "/me")
    form = "#other-password"
    fill(driver, form, password=password, code=codes[2], fresh="a longer one than before")
    send(driver, form)
    says(driver, "Your password is another one now.")
    calm(driver, "another password")
    go(driver, url, "/me", "7 recovery codes are left")
    sign_out(driver)


def needed_factor(driver, url, user, password):
    """A role that opens nothing without a second factor: it is set up at the first sign-in."""
    driver.get(url + "/sign-in")
    driver.find_element(By.NAME, "name").send_keys(user)
    field = driver.find_element(By.NAME, "password")
    leads_on(driver, lambda: field.send_keys(password, Keys.ENTER))
    until(driver, "a second factor is wanted", lambda: driver.current_url == url + "/sign-in/set-up")
    says(driver, "The role auditor needs a code beside the password.")
    calm(driver, "a second factor that is needed")
    driver.get(url + "/accounts")
    assert driver.current_url == url + "/sign-in", driver.current_url
    driver.get(url + "/sign-in/set-up")
    set_up(driver, "set up at the sign-in")
    leads_on(driver, driver.find_element(By.PARTIAL_LINK_TEXT, "on to the console").click)
    assert driver.current_url == url + "/", driver.current_url
    go(driver, url, "/me", "Your role needs it.")
    # Who changes nothing is shown no form that would.
    go(driver, url, "/access", "Tokens of programs")
    assert not driver.find_elements(By.CSS_SELECTOR, "main form"), "an auditor could change who may sign in"
    sign_out(driver)


def outside(driver, url, reseller, customer, folder):
    """A reseller and a customer: each its own account, and of others not even that they are there."""
    others = ("/", "/calls", "/accounts", "/accounts/baeckerei-huber", "/fraud", "/invoices", "/access", "/sql?q=select+1", "/search?q=huber")

    def enters(user, password):
        driver.get(url + "/sign-in")
        driver.find_element(By.NAME, "name").send_keys(user)
        field = driver.find_element(By.NAME, "password")
        leads_on(driver, lambda: field.send_keys(password, Keys.ENTER))
        until(driver, "the own account", lambda: driver.current_url == url + "/own")

    def sees_nothing_else(*foreign):
        places = [it.text for it in driver.find_elements(By.CSS_SELECTOR, "nav a")]
        assert places == ["Overview", "Calls"], places
        for path in others:
            driver.get(url + path)
            assert driver.current_url == url + "/own" or "it sees its own account alone" in text(driver), f"{path}: {text(driver)}"
        calm(driver, "a page of the house, from outside", refused=403)
        for account in foreign:
            for path in (f"/own?account={account}", f"/own/calls?account={account}"):
                driver.get(url + path)
                says(driver, "you have no account")
        driver.get_log("browser")
        found = driver.execute_async_script(
            "const done = arguments[0]; fetch('/api/v1/calls').then((it) => done(it.status), () => done(0))"
        )
        assert found == 403, found
        driver.get_log("browser")

    enters(*customer)
    says(driver, "Bäckerei Huber KG", "What there is", "Invoices")
    assert "alpine" not in text(driver) and "Alpine" not in text(driver)
    calm(driver, "a customer's overview")
    driver.find_element(By.CSS_SELECTOR, "button[value=pdf]").click()
    assert taken(folder, ".pdf")[1].startswith(b"%PDF-")
    go(driver, url, "/own/calls", "Calls of baeckerei-huber")
    rows = driver.find_elements(By.CSS_SELECTOR, "tbody tr")
    assert len(rows) == 3 and all("4930555123" in row.text for row in rows), [row.text for row in rows]
    field = box(driver, "number", "main")
    leads_on(driver, lambda: field.send_keys("999", Keys.ENTER))
    says(driver, "No call that this account pays for is like this.")
    field = box(driver, "number", "main")
    field.clear()
    leads_on(driver, lambda: field.send_keys("x' or 1=1", Keys.ENTER))
    says(driver, "is not one")
    calm(driver, "a customer's calls, a number mistyped")
    sees_nothing_else("alpine", "kanzlei-brandt", "hotel-seeblick")
    go(driver, url, "/me", "Your sign-in")
    sign_out(driver)

    enters(*reseller)
    says(driver, "Alpine Connect GmbH")
    offered = [it.text for it in driver.find_elements(By.CSS_SELECTOR, "select[name=account] option")]
    assert sorted(offered) == [
        "Alpine Connect GmbH (alpine)", "Bäckerei Huber KG (baeckerei-huber)", "Hotel Seeblick GmbH (hotel-seeblick)",
    ], offered
    calm(driver, "a reseller's overview")
    Select(box(driver, "account", "main form")).select_by_visible_text("Bäckerei Huber KG (baeckerei-huber)")
    send(driver, "main form")
    until(driver, "the customer's account", lambda: "account=baeckerei-huber" in driver.current_url)
    says(driver, "Bäckerei Huber KG")
    assert float(driver.find_element(By.ID, "balance").text.split()[0]) > 12, "the payment of its customer is not there"
    link = driver.find_element(By.CSS_SELECTOR, "a[href^='/own/invoices/']")
    link.click()
    assert taken(folder, ".pdf")[1].startswith(b"%PDF-")
    go(driver, url, "/own/calls?account=baeckerei-huber", "4930555123")
    sees_nothing_else("nordsee", "kanzlei-brandt")
    driver.get(url + "/own")
    sign_out(driver)
