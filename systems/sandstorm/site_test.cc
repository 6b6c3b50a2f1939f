// SPDX-License-Identifier: Apache-2.0
// The document root: what is served, and what no link gets out of it.
#include "site.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include "nmio/port.h"

namespace stackrig::sandstorm {
namespace {

namespace fs = std::filesystem;

class SiteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "sandstorm-site-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder = name;
    fs::permissions(folder, fs::perms(0755));
    fs::create_directories(root());
    write("outside/secret.txt", "secret");
    write("root/plain.txt", "plain");
  }
  void TearDown() override { fs::remove_all(folder); }

  [[nodiscard]] fs::path root() const { return folder / "root"; }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((folder / name).parent_path());
    std::ofstream(folder / name) << text;
  }
  void link(const fs::path& to, const std::string& name) const {
    fs::create_symlink(to, folder / name);
  }

  /// The kind of what `path` is answered with and its body; "none" where there is nothing.
  static std::string at(const Site& site, const std::string& path) {
    const auto r = std::find_if(site.resources.begin(), site.resources.end(),
                                [&](const Resource& x) { return x.path == path; });
    if (r == site.resources.end()) return "none";
    switch (r->kind) {
      case Resource::Kind::forbidden:
        return "forbidden";
      case Resource::Kind::redirect:
        return "redirect";
      case Resource::Kind::file:
        break;
    }
    return r->content_type + ": " +
           std::string(reinterpret_cast<const char*>(r->body.data()), r->body.size());
  }
  [[nodiscard]] std::string at(const std::string& path) const {
    return at(load_site(root()), path);
  }

  fs::path folder;
};

TEST_F(SiteTest, FilesIndexAndFolders) {
  write("root/sub/index.html", "index");
  const Site site = load_site(root());
  EXPECT_EQ(at(site, "/plain.txt"), "text/plain: plain");
  EXPECT_EQ(at(site, "/"), "forbidden");
  EXPECT_EQ(at(site, "/sub/"), "text/html: index");
  EXPECT_EQ(at(site, "/sub/index.html"), "text/html: index");
  EXPECT_EQ(at(site, "/sub"), "redirect");
}

TEST_F(SiteTest, NoFileLinkLeadsOut) {
  link(folder / "outside/secret.txt", "root/absolute.txt");
  link("../outside/secret.txt", "root/relative.txt");
  EXPECT_EQ(at("/absolute.txt"), "none");
  EXPECT_EQ(at("/relative.txt"), "none");
}

TEST_F(SiteTest, NoDirectoryLinkLeadsOut) {
  link("../outside", "root/out");
  EXPECT_EQ(at("/out/"), "none");
  EXPECT_EQ(at("/out/secret.txt"), "none");
}

TEST_F(SiteTest, NoIndexLeadsOut) {
  link("../outside/secret.txt", "root/index.html");
  write("root/sub/x.txt", "x");
  link("../../outside/secret.txt", "root/sub/index.html");
  const Site site = load_site(root());
  EXPECT_EQ(at(site, "/"), "forbidden");
  EXPECT_EQ(at(site, "/index.html"), "none");
  EXPECT_EQ(at(site, "/sub/"), "forbidden");
}

TEST_F(SiteTest, ANeighbourWhoseNameBeginsAsTheRootsIsOutside) {
  write("root-2/secret.txt", "secret");
  link("../root-2/secret.txt", "root/near.txt");
  EXPECT_EQ(at("/near.txt"), "none");
}

TEST_F(SiteTest, WhatDanglesIsNotThere) {
  link("nowhere", "root/dangling.txt");
  link("nowhere", "root/index.html");
  link("self", "root/self");
  const Site site = load_site(root());
  EXPECT_EQ(at(site, "/dangling.txt"), "none");
  EXPECT_EQ(at(site, "/self"), "none");
  EXPECT_EQ(at(site, "/"), "forbidden");
}

TEST_F(SiteTest, ALinkInsideIsServedUnderItsOwnNameAndType) {
  write("root/store/0a1b", "<p>");
  link("store/0a1b", "root/page.html");
  link("store/0a1b", "root/index.html");
  const Site site = load_site(root());
  EXPECT_EQ(at(site, "/page.html"), "text/html: <p>");
  EXPECT_EQ(at(site, "/"), "text/html: <p>");
}

TEST_F(SiteTest, AFolderLinkInsideIsFollowed) {
  write("root/v2/a.txt", "a");
  link("v2", "root/current");
  const Site site = load_site(root());
  EXPECT_EQ(at(site, "/current/a.txt"), "text/plain: a");
  EXPECT_EQ(at(site, "/current"), "redirect");
  EXPECT_EQ(at(site, "/v2/a.txt"), "text/plain: a");
}

TEST_F(SiteTest, LinksThatLoopEnd) {
  write("root/a/x.txt", "x");
  link("..", "root/a/up");
  link(".", "root/a/here");
  write("root/b/y.txt", "y");
  link("../b", "root/a/b");
  link("../a", "root/b/a");
  const Site site = load_site(root());
  EXPECT_EQ(at(site, "/a/x.txt"), "text/plain: x");
  EXPECT_EQ(at(site, "/a/up/plain.txt"), "none");
  EXPECT_EQ(at(site, "/a/here/x.txt"), "none");
  EXPECT_EQ(at(site, "/a/b/y.txt"), "text/plain: y");
  EXPECT_EQ(at(site, "/a/b/a/x.txt"), "none");
}

TEST_F(SiteTest, AFolderThatCannotBeReadIsSaid) {
  write("root/closed/x.txt", "x");
  fs::permissions(root() / "closed", fs::perms::none);
  const bool is_root = ::geteuid() == 0;  // to whom all is open
  if (is_root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  std::string said = "nothing";
  try {
    load_site(root());
  } catch (const nmio::SetupError& e) {
    said = e.what();
  }
  if (is_root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  fs::permissions(root() / "closed", fs::perms::owner_all);
  EXPECT_NE(said.find("closed: Permission denied; make it readable"), std::string::npos) << said;
}

}  // namespace
}  // namespace stackrig::sandstorm
