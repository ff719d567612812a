// Datasets that can be fetched: where from, and what the files must hash to.
// To add one, add a row, and what it is in i18n. A mirror must allow other sites to read it (CORS).

export interface CatalogueFile {
  name: string;
  bytes: number;
  sha256: string;
}
export interface CatalogueDataset {
  id: 'mnist' | 'fashion-mnist' | 'kmnist' | 'cifar-10' | 'emnist-letters';
  name: string;
  /** Folders that hold all files; tried in order, file by file. */
  mirrors: string[];
  files: CatalogueFile[];
  /** Its files are archives, of which these are kept. */
  members?: RegExp;
  /** Of letters that every language writes the same; other names are in i18n. */
  classNames?: string[];
}

/** The digits that the engine draws itself: nothing to fetch. */
export const builtInDigits = { id: 'digits' } as const;

export const catalogue: readonly CatalogueDataset[] = [
  {
    id: 'mnist',
    name: 'MNIST',
    mirrors: [
      'https://ossci-datasets.s3.amazonaws.com/mnist/',
      'https://storage.googleapis.com/cvdf-datasets/mnist/',
      'https://raw.githubusercontent.com/fgnt/mnist/master/',
    ],
    files: [
      {
        name: 'train-images-idx3-ubyte.gz',
        bytes: 9_912_422,
        sha256: '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
      },
      {
        name: 'train-labels-idx1-ubyte.gz',
        bytes: 28_881,
        sha256: '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c',
      },
      {
        name: 't10k-images-idx3-ubyte.gz',
        bytes: 1_648_877,
        sha256: '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6',
      },
      {
        name: 't10k-labels-idx1-ubyte.gz',
        bytes: 4_542,
        sha256: 'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6',
      },
    ],
  },
  {
    id: 'fashion-mnist',
    name: 'Fashion-MNIST',
    mirrors: [
      'https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/',
      'https://fashion-mnist.s3.eu-central-1.amazonaws.com/',
    ],
    files: [
      {
        name: 'train-images-idx3-ubyte.gz',
        bytes: 26_421_880,
        sha256: '3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84',
      },
      {
        name: 'train-labels-idx1-ubyte.gz',
        bytes: 29_515,
        sha256: 'a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845',
      },
      {
        name: 't10k-images-idx3-ubyte.gz',
        bytes: 4_422_102,
        sha256: '346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073',
      },
      {
        name: 't10k-labels-idx1-ubyte.gz',
        bytes: 5_148,
        sha256: '67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5',
      },
    ],
  },
  {
    id: 'kmnist',
    name: 'KMNIST',
    classNames: ['お', 'き', 'す', 'つ', 'な', 'は', 'ま', 'や', 'れ', 'を'],
    mirrors: ['https://codh.rois.ac.jp/kmnist/dataset/kmnist/'],
    files: [
      {
        name: 'train-images-idx3-ubyte.gz',
        bytes: 18_165_135,
        sha256: '51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4',
      },
      {
        name: 'train-labels-idx1-ubyte.gz',
        bytes: 29_497,
        sha256: 'e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17',
      },
      {
        name: 't10k-images-idx3-ubyte.gz',
        bytes: 3_041_136,
        sha256: 'edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5',
      },
      {
        name: 't10k-labels-idx1-ubyte.gz',
        bytes: 5_120,
        sha256: '20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c',
      },
    ],
  },
  {
    id: 'cifar-10',
    name: 'CIFAR-10',
    mirrors: [
      'https://www.cs.toronto.edu/~kriz/',
      'https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/',
    ],
    files: [
      {
        name: 'cifar-10-binary.tar.gz',
        bytes: 170_052_171,
        sha256: 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
      },
    ],
    members: /(^|\/)(data|test)_batch(_\d)?\.bin$/i,
  },
  {
    id: 'emnist-letters',
    name: 'EMNIST-Letters',
    mirrors: ['https://biometrics.nist.gov/cs_links/EMNIST/'],
    files: [
      {
        name: 'gzip.zip',
        bytes: 561_753_746,
        sha256: 'fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e',
      },
    ],
    members: /(^|\/)emnist-letters-(train|test)-(images-idx3|labels-idx1)-ubyte(\.gz)?$/i,
  },
];

/** Where somebody gets the first file without this page. */
export const addressOf = ({ mirrors, files }: CatalogueDataset): string =>
  `${mirrors[0] ?? ''}${files[0]?.name ?? ''}`;

export const bytesOf = (dataset: CatalogueDataset): number =>
  dataset.files.reduce((sum, file) => sum + file.bytes, 0);

export const mirrorOrigins = (): string[] => [
  ...new Set(catalogue.flatMap(({ mirrors }) => mirrors.map((url) => new URL(url).origin))),
];
