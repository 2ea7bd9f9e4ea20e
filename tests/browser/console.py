"""Drives the console in a real browser, as its users do: every page at two widths, the main task of each.

Usage: console.py URL USER PASSWORD ACCOUNT. Prints what it did; ends with 1 and the reason at the first thing out of order.
With TOLLBOOK_PICTURES=FOLDER it leaves a picture of every page there, light and dark.
"""

import pathlib
import sys
import tempfile
import time

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

sys.dont_write_bytecode = True

import people
import prices
from hand import browser, calm, find, go, leads_on, sign_in, sign_out, text, until


def tour(driver, url, account):
    go(driver, url, "/", "Live", "mediator", "lake")
    first = driver.find_element(By.ID, "at").text
    until(driver, "the figures move", lambda: driver.find_element(By.ID, "at").text != first)
    calm(driver, "/ live")

    go(driver, url, "/calls", account)
    Select(driver.find_element(By.NAME, "status")).select_by_visible_text("ok")
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, ".filters button").click)
    until(driver, "answered calls are listed", lambda: "status=ok" in driver.current_url)
    rows = driver.find_elements(By.CSS_SELECTOR, "tbody tr")
    assert rows and all(" ok" in row.text for row in rows), [row.text for row in rows]
    cdr = driver.find_element(By.CSS_SELECTOR, "tbody a").get_attribute("href").rsplit("/", 1)[1]
    go(driver, url, f"/calls/{cdr}", "Routes tried", "Price, step by step", "first 60 s", "Posted")
    go(driver, url, "/calls?number=abc", "43660555123")

    find(driver, cdr)
    until(driver, "the CDR is found", lambda: driver.current_url.endswith(f"/calls/{cdr}"))
    find(driver, account)
    until(driver, "the account is found", lambda: driver.current_url.endswith(f"/accounts/{account}"))
    go(driver, url, f"/accounts/{account}", "Balance", "Subscribers", "Calls at once")
    go(driver, url, "/accounts?q=no-such-thing", "No account is like this")
    go(driver, url, "/tariffs", "in force")
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, "tbody a").click)
    fees = driver.find_element(By.CSS_SELECTOR, ".filters [name=q]")
    leads_on(driver, lambda: fees.send_keys("4930", Keys.ENTER))
    until(driver, "fees of a number", lambda: "q=4930" in driver.current_url)
    prefixes = [row.find_element(By.TAG_NAME, "td").text for row in driver.find_elements(By.CSS_SELECTOR, "tbody tr")]
    assert prefixes and all("4930".startswith(prefix) or prefix.startswith("4930") for prefix in prefixes), prefixes
    calm(driver, "a tariff")

    go(driver, url, "/fraud", "Locks in force")
    driver.find_element(By.NAME, "account").send_keys(account)
    driver.find_element(By.NAME, "reason").send_keys("seen by the console's test")
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, ".filters button").click)
    until(driver, "it is locked", lambda: f"{account} is locked (outgoing)" in text(driver))
    calm(driver, "a lock set")
    row = next(row for row in driver.find_elements(By.CSS_SELECTOR, "tbody tr") if row.text.startswith(account))
    assert "seen by the console's test" in row.text, row.text
    reason = row.find_element(By.NAME, "reason")
    leads_on(driver, lambda: reason.send_keys("the test is over", Keys.ENTER))
    until(driver, "it is unlocked", lambda: f"{account} is unlocked" in text(driver))

    go(driver, url, "/fraud?all=true", "Cases, most money at risk first")
    assert driver.find_elements(By.CSS_SELECTOR, "#cases svg.bars rect"), "no course of attempts"
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, "#cases a[href^='/fraud/alerts/']").click)
    until(driver, "a case", lambda: "What convinced" in text(driver))
    assert driver.find_elements(By.CSS_SELECTOR, "svg.bars.large rect")
    calm(driver, "a case")

    def act(field, words, value, outcome):
        driver.find_element(By.ID, field).send_keys(words)
        leads_on(driver, driver.find_element(By.CSS_SELECTOR, f"button[value='{value}']").click)
        until(driver, outcome, lambda: outcome in text(driver))

    if driver.find_elements(By.CSS_SELECTOR, "button[value='ack']"):
        act("note", "", "ack", "Taken on.")
    act("note", "seen before", "note", "Noted.")
    act("note", "", "fraud", "Found to be fraud.")
    act("reason", "stop them", "kill", "end within a second")
    act("reason", "sure of it", "lock", f"{account} is locked (outgoing)")
    act("reason", "was his son", "unlock", f"{account} is unlocked")
    act("reason", "his own switchboard", "except", f"leaves {account} alone")
    go(driver, url, "/fraud", "his own switchboard")

    bar = driver.find_element(By.CSS_SELECTOR, "form[action='/fraud/barring']")
    bar.find_element(By.NAME, "range").send_keys("371234")
    bar.find_element(By.NAME, "reason").send_keys("seen by the console's test")
    leads_on(driver, bar.find_element(By.TAG_NAME, "button").click)
    until(driver, "it is barred", lambda: "Calls to 371234… are barred" in text(driver))
    calm(driver, "a barring set")
    row = next(row for row in driver.find_elements(By.CSS_SELECTOR, "tbody tr") if "371234…" in row.text)
    reason = row.find_element(By.NAME, "reason")
    leads_on(driver, lambda: reason.send_keys("the test is over", Keys.ENTER))
    until(driver, "it is lifted", lambda: "Calls to 371234… go through again" in text(driver))
    row = next(row for row in driver.find_elements(By.CSS_SELECTOR, "tbody tr") if "his own switchboard" in row.text)
    reason = row.find_element(By.NAME, "reason")
    leads_on(driver, lambda: reason.send_keys("the test is over", Keys.ENTER))
    until(driver, "it is looked at again", lambda: f"{account} is looked at again" in text(driver))

    go(driver, url, "/fraud/rules", "often")
    leads_on(driver, driver.find_element(By.LINK_TEXT, "often").click)
    until(driver, "a rule's text", lambda: driver.find_elements(By.TAG_NAME, "textarea"))
    calm(driver, "a rule's text")
    box = driver.find_element(By.TAG_NAME, "textarea")
    rule = box.get_attribute("value")
    box.clear()
    box.send_keys(rule.replace("attempts", "atempts"))
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, "button[value='check']").click)
    until(driver, "what is wrong", lambda: "unknown variant" in text(driver))
    box = driver.find_element(By.TAG_NAME, "textarea")
    box.clear()
    box.send_keys(rule)
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, "button[value='backtest']").click)
    until(driver, "what it would have done", lambda: "What it would have done" in text(driver))
    assert " incidents" in driver.find_element(By.ID, "outcome").text
    calm(driver, "a back-test")
    driver.find_element(By.NAME, "reason").send_keys("the same again")
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, "button[value='save']").click)
    until(driver, "it is saved", lambda: "is saved" in text(driver) and "the same again" in text(driver))
    calm(driver, "rules")

    go(driver, url, "/invoices", "Total")
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, "tbody a").click)
    until(driver, "an invoice", lambda: "Open the PDF by itself" in text(driver))
    assert driver.find_elements(By.CSS_SELECTOR, "iframe.pdf")
    go(driver, url, "/files", "CDR files", "system")
    go(driver, url, "/sql", "Revenue and margin by zone")
    box = driver.find_element(By.TAG_NAME, "textarea")
    box.clear()
    leads_on(driver, lambda: box.send_keys("select count(*) as n from calls", Keys.CONTROL + Keys.ENTER))
    until(driver, "an answer", lambda: "1 rows" in text(driver))
    calm(driver, "an answer")
    go(driver, url, "/sql?q=select+nothing+from+calls", "nothing")
    go(driver, url, "/sql?q=drop+table+calls", "read")
    go(driver, url, "/health", "What people changed", "the test is over")


def provision(driver, url, account):
    """A trunk from its making to its end, rows of a file, and where a call would go."""
    name = f"trunk-{driver.execute_script('return innerWidth')}"

    def fill(**fields):
        for field, words in fields.items():
            box = driver.find_element(By.NAME, field)
            box.clear()
            box.send_keys(words)

    def press(act, outcome):
        leads_on(driver, driver.find_element(By.CSS_SELECTOR, f"button[value='{act}']").click)
        until(driver, outcome, lambda: outcome in text(driver))
        calm(driver, outcome)

    go(driver, url, "/provisioning/trunks", "carriers' switches")
    leads_on(driver, driver.find_element(By.LINK_TEXT, "New trunk").click)
    calm(driver, "a form")
    fill(name=name, account="nobody", address="192.0.2.77:5060")
    press("save", "there is no account")
    fill(account="transalp", calls_max="many")
    press("save", "is a whole number")
    assert driver.find_element(By.NAME, "calls_max").get_attribute("aria-invalid") == "true"
    fill(calls_max="30")
    press("check", "can be saved")
    press("save", "Saved")
    assert driver.find_element(By.NAME, "calls_max").get_attribute("value") == "30"
    fill(calls_max="40")
    press("save", "Saved")
    history = driver.find_element(By.ID, "history").text
    assert "ada" in history and "30" in history and "40" in history, history
    press("delete", "set enabled to false first")
    Select(driver.find_element(By.NAME, "enabled")).select_by_visible_text("no")
    press("save", "Saved")
    press("delete", "is deleted")

    go(driver, url, f"/provisioning/accounts/{account}", "What holds now", "the account", "usual")
    go(driver, url, "/provisioning/subscribers", "huber")
    fill(file=f"username,domain,account,password\n{name},sip.meridian.example,nobody,long-enough-1\n")
    press("take", "line 2")
    fill(file=f"username,domain,account,password\n{name},sip.meridian.example,{account},long-enough-1\n")
    press("check", "1 added")
    press("take", "The file is taken")
    go(driver, url, f"/provisioning/subscribers/{name}@sip.meridian.example", "create", "Calls at once")
    press("delete", "is deleted")
    go(driver, url, "/provisioning/networks?q=no-such-thing", "Nothing is called so")

    go(driver, url, "/provisioning/try", "Try a call")
    fill(**{"from": "huber@sip.meridian.example", "to": "0049301234"})
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, "form.filters button").click)
    until(driver, "routes", lambda: "4930" in driver.find_element(By.ID, "call").text)
    calm(driver, "a call tried")
    fill(country="43", area="512", number="0660555123")
    leads_on(driver, driver.find_elements(By.CSS_SELECTOR, "form.filters button")[1].click)
    until(driver, "a number rewritten", lambda: "43660555123" in driver.find_element(By.ID, "rewritten").text)
    calm(driver, "a number rewritten")


def main():
    url, user, password, account = sys.argv[1:]
    url = url.rstrip("/")
    for width in (1280, 390):
        with tempfile.TemporaryDirectory() as profile:
            began = time.monotonic()
            driver = browser(width, profile)
            try:
                sign_in(driver, url, user, password)
                tour(driver, url, account)
                provision(driver, url, account)
                prices.prices(driver, url, pathlib.Path(profile) / "taken")
                people.search(driver, url, account)
                people.money(driver, url, account, pathlib.Path(profile) / "taken")
                let_in = people.let_in(driver, url, width)
                sign_out(driver)
                people.second_factor(driver, url, *let_in["operator"], let_in["token"])
                people.needed_factor(driver, url, *let_in["auditor"])
                people.outside(driver, url, let_in["reseller"], let_in["customer"], pathlib.Path(profile) / "taken")
            except BaseException:
                driver.save_screenshot(f"{tempfile.gettempdir()}/tollbook-console-{width}.png")
                print(f"at {driver.current_url}", file=sys.stderr)
                raise
            finally:
                driver.quit()
            print(f"{width} pixels: every page in order, {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
